"""UTF-8 copies of text files that DuckDB cannot read as they are.

They are files in another encoding than UTF-8, JSON Lines with a byte order mark, and compressed
files with a ``?`` in their path: DuckDB ignores what follows it, the ``.gz`` too. A copy is plain
UTF-8 in the scratch folder, and the rest of segctl only sees the names of the originals.
"""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

from segctl.core.disk import create_scratch_file
from segctl.engine.file_contents import name_file_in_errors, read_text
from segctl.engine.model import CheckedQuery, FileScan, SourceError
from segctl.engine.sql import file_name
from segctl.manifests.file_formats import COMPRESSION_SUFFIXES, Encoding

_BUFFER_BYTES = 1 << 20
_MARKS: tuple[tuple[bytes, tuple[Encoding, ...]], ...] = (
    (codecs.BOM_UTF8, ("utf-8",)),
    (codecs.BOM_UTF16_LE, ("utf-16", "utf-16-le")),
    (codecs.BOM_UTF16_BE, ("utf-16", "utf-16-be")),
)
"""Byte order marks, and the encodings whose files begin with them."""

_OTHER_ORDER: dict[Encoding, Encoding] = {"utf-16-le": "utf-16-be", "utf-16-be": "utf-16-le"}
_SWAPPED_LINE_END = "\u0a00"
"""A line end whose two bytes are swapped. No text has this character: it is unassigned."""


class Utf8Copies:
    """The copies of one run, each made once. They are in ``scratch``."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._copies: dict[tuple[Path, Encoding], Path] = {}
        self._originals: dict[Path, Path] = {}

    def replace_files(self, scan: FileScan) -> FileScan:
        """Return a scan of files that DuckDB can read. Raises ``SourceError``."""
        if scan.format == "parquet":
            return scan
        plain = {
            path: self._readable_file(path, scan.encoding, is_json=scan.format == "jsonl")
            for path in scan.paths
        }
        if all(path == file for path, file in plain.items()):
            return replace(scan, encoding="utf-8")
        return replace(
            scan,
            paths=tuple(plain.values()),
            encoding="utf-8",
            partitions={
                column: {plain[path]: values[path] for path in scan.paths}
                for column, values in scan.partitions.items()
            },
        )

    def replace_files_in_query(self, query: CheckedQuery) -> CheckedQuery:
        """Return a query of files that DuckDB can read. Raises ``SourceError``."""
        plain = {
            path: self._readable_file(path, "utf-8", is_json="json" in path.name.lower())
            for path in query.files
            if ".parquet" not in path.name.lower()
        }
        text = query.sql
        for path, file in plain.items():
            if path != file:
                text = text.replace(file_name(path), file_name(file))
        return replace(
            query,
            sql=text,
            files=tuple(plain.get(path, path) for path in query.files),
            lists=tuple(plain[path] for path in query.lists),
            headers=tuple((plain.get(path, path), mark) for path, mark in query.headers),
        )

    def original(self, file: Path) -> Path:
        """Return the file that a file is the copy of, or the file itself."""
        return self._originals.get(file, file)

    @contextmanager
    def original_names(self) -> Iterator[None]:
        """Replace a copy by its original in a ``SourceError`` of the block."""
        try:
            yield
        except SourceError as error:
            if error.file:
                error.file = self.original(error.file)
            raise

    def _readable_file(self, file: Path, encoding: Encoding, *, is_json: bool) -> Path:
        if (file, encoding) in self._copies:
            return self._copies[file, encoding]
        if encoding == "utf-8" and not _has_question_mark(file):
            with name_file_in_errors(file):
                if not is_json or not _has_mark(file):
                    return file
        # Partition values are in the names of folders.
        folders = (part for part in file.parts[:-1] if "=" in part)
        folder = self._scratch.joinpath(f"plain_{len(self._copies)}", *folders)
        folder.mkdir(mode=0o700, parents=True)
        is_packed = file.suffix.lower() in COMPRESSION_SUFFIXES
        copy = folder / (file.stem if is_packed else file.name)
        with name_file_in_errors(file), create_scratch_file(copy, buffering=_BUFFER_BYTES) as out:
            for text in _decode(read_text(file), encoding):
                out.write(text)
        self._copies[file, encoding], self._originals[copy] = copy, file
        return copy


def _has_question_mark(file: Path) -> bool:
    return "?" in str(file) and file.suffix.lower() in COMPRESSION_SUFFIXES


def _has_mark(file: Path) -> bool:
    return next(iter(read_text(file)), b"").startswith(codecs.BOM_UTF8)


def _decode(chunks: Iterator[bytes], encoding: Encoding) -> Iterator[bytes]:
    """Yield text as UTF-8, without a byte order mark.

    Raises ``SourceError`` for bytes that are none of the encoding, and for a text in another.
    """
    start = next(chunks, b"")
    _check_mark(start, encoding)
    if encoding == "utf-8":  # DuckDB looks for bytes that are not
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    utf8 = _Utf8Check(encoding)
    lines = 0
    for chunk in chain([start], chunks, [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(error.encoding, "replace")
            line = lines + before.count("\n") + 1
            raise _not_in_encoding(encoding, line) from None
        utf8.add(chunk)
        if encoding in _OTHER_ORDER and _SWAPPED_LINE_END in text:
            raise SourceError(
                "unreadable-file",
                f"the file is {_OTHER_ORDER[encoding]}, not {encoding}",
                f"Set encoding: {_OTHER_ORDER[encoding]}.",
            )
        lines += text.count("\n")
        yield (text.removeprefix("\ufeff") if chunk is start else text).encode()
    if start and utf8.is_certain:
        raise SourceError(
            "unreadable-file", f"the file is UTF-8, not {encoding}", "Remove encoding."
        )


class _Utf8Check:
    """Whether text in another encoding is UTF-8. By chance, it hardly ever is."""

    def __init__(self, encoding: Encoding) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_utf16 = encoding.startswith("utf-16")
        self._is_possible = True
        self._is_ascii = True

    def add(self, chunk: bytes) -> None:
        """Look at a chunk; the last one is empty."""
        if not self._is_possible:
            return
        self._is_ascii = self._is_ascii and chunk.isascii()
        if self._is_utf16 and b"\0" in chunk:  # as each line end has
            self._is_possible = False
        try:
            self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            self._is_possible = False

    @property
    def is_certain(self) -> bool:
        """Whether all chunks are UTF-8, and are not the same in the encoding."""
        return self._is_possible and (self._is_utf16 or not self._is_ascii)


def _check_mark(start: bytes, encoding: Encoding) -> None:
    """Raise ``SourceError`` if a byte order mark is missing, or is that of another encoding."""
    for mark, encodings in _MARKS:
        if start.startswith(mark):
            if encoding not in encodings:
                summary = f"the file is {encodings[0]}, not {encoding}: it has a byte order mark"
                raise SourceError("unreadable-file", summary, f"Set encoding: {encodings[0]}.")
            return
    if encoding == "utf-16":
        raise SourceError(
            "unreadable-file",
            "the file has no byte order mark, so its kind of utf-16 is not known",
            "Set encoding: utf-16-le or encoding: utf-16-be.",
        )


def _not_in_encoding(encoding: Encoding, line: int) -> SourceError:
    return SourceError(
        "unreadable-file",
        f"the file is not {encoding}",
        "Set encoding to the one that the file has, or save it as UTF-8.",
        line=line,
    )
