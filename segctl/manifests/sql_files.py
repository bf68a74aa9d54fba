"""Put the text of ``sql: {file: PATH}`` in its place, so that it counts as text in the manifest.

The files are read by a function of the caller, which decides what may be read.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from typing import Any, TypeVar

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location
from segctl.manifests import desired
from segctl.manifests.declarations import SourcePath, find_sources
from segctl.manifests.variables import SQL_SOURCES
from segctl.manifests.yaml_reader import end_of_text
from segctl.manifests.yaml_tree import Document, Map, Seq, Value, lookup

MAX_BYTES = 1 << 20
"""The largest SQL file, in bytes. A query that people review is much smaller."""


class UnreadableSqlFile(Exception):
    """A SQL file cannot be read, or may not be."""

    def __init__(self, code: str, summary: str, detail: str) -> None:
        super().__init__(summary)
        self.code = code
        self.summary = summary
        self.detail = detail


def refuse_sql_files(path: str, _allowed: Sequence[str]) -> bytes:
    """Refuse every file: the default ``SqlReader``. Raises ``UnreadableSqlFile``."""
    raise UnreadableSqlFile("unreadable-file", f"{path} is not read here", "")


SqlReader = Callable[[str, Sequence[str]], bytes]
"""Returns the content of a file, at most one byte more than ``MAX_BYTES``.

It gets the path as written and the folders outside the workspace that may be read. Raises
``UnreadableSqlFile``.
"""


def allowed_folders(project: Document) -> tuple[str, ...]:
    """Return the folders outside the workspace that a Project lets sources read."""
    folders = lookup(project.data, "spec", "allowFolders")
    items = folders if isinstance(folders, Seq) else ()
    return tuple(str(folder) for folder in items if isinstance(folder, str))


@dataclass(kw_only=True)
class SqlFiles:
    """The SQL files of a workspace. Each is read once.

    ``texts`` are the contents by path, and ``by_source`` the paths by the location of the source.
    """

    read: SqlReader
    allowed_folders: Sequence[str] = ()
    texts: dict[str, str] = field(default_factory=dict)
    by_source: dict[Location, str] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)
    _failed: dict[str, Diagnostic] = field(default_factory=dict)

    def fill(self, document: Document) -> Document:
        """Return a document with the texts in place of the paths. Adds to ``problems``."""
        found = [
            (path, form, str(file))
            for path, source in find_sources(document)
            for form in SQL_SOURCES
            if isinstance(file := _file_of(lookup(source, form, "sql")), str)
        ]
        texts: dict[SourcePath, str] = {}
        for path, form, file in found:
            field_path = (*path, form, "sql")
            text = self._text(file, document.locate((*field_path, "file")))
            if text is not None:
                texts[field_path] = text
                self.by_source[document.locate(path)] = file
        if not texts:
            return document
        parents = {path[:end] for path in texts for end in range(len(path))}
        return replace(document, data=_with_texts(document.data, (), texts, parents))

    def _text(self, file: str, location: Location) -> str | None:
        if file not in self.texts and file not in self._failed:
            found = self._read_text(file, location)
            if isinstance(found, str):
                self.texts[file] = found
            else:
                self._failed[file] = found
        problem = self._failed.get(file)
        if problem:
            # A problem within the file is reported once, one with the path at each use.
            is_inside = problem.location is not None and problem.location.file != location.file
            self.problems.append(problem if is_inside else replace(problem, location=location))
        return self.texts.get(file)

    def _read_text(self, file: str, location: Location) -> str | Diagnostic:
        try:
            content = self.read(file, self.allowed_folders)
        except UnreadableSqlFile as error:
            return Diagnostic(
                code=error.code,
                summary=f"{error.summary}.",
                detail=error.detail,
                location=location,
            )
        return decode_sql(file, content)


def decode_sql(file: str, content: bytes) -> str | Diagnostic:
    """Return the text of a SQL file without a byte order mark, or its problem."""
    found = next((p for is_so, *p in _BAD_BEGINNINGS if is_so(content)), None)
    if found:
        return _problem(Location(file=file), *found)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = end_of_text(file, content[: error.start].decode("utf-8-sig", "replace"))
        return _problem(place, "not-utf8", "the file is not valid UTF-8", "Save it as UTF-8.")
    if "\0" in text:
        place = end_of_text(file, text[: text.index("\0")])
        return _problem(place, "control-character", "the file has a NUL character", "Remove it.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


_LIMIT = f"a SQL file can have at most {MAX_BYTES >> 20} MB"
_BAD_BEGINNINGS: tuple[tuple[Callable[[bytes], bool], str, str, str], ...] = (
    (lambda c: len(c) > MAX_BYTES, "file-too-large", _LIMIT, "Shorten it."),
    (lambda c: not c.strip(), "blank", "the file is empty", "Write a SELECT."),
    (
        lambda c: c.startswith(b"version https://git-lfs.github.com/spec/"),
        "not-sql",
        "the file is a Git LFS pointer",
        "Run `git lfs pull`.",
    ),
    (
        lambda c: c.startswith((b"\xff\xfe", b"\xfe\xff")),
        "not-utf8",
        "the file is encoded as UTF-16, not UTF-8",
        "Save it as UTF-8.",
    ),
)
"""What the bytes of a file must not be: the code, the summary and the advice."""


def _problem(location: Location, code: str, summary: str, detail: str) -> Diagnostic:
    return Diagnostic(code=code, summary=f"{summary}.", detail=detail, location=location)


def _file_of(sql: Value) -> Value:
    """Return the path of a well-formed ``{file: PATH}``. The model reports every other form."""
    is_file = isinstance(sql, Map) and list(sql) == ["file"]
    path = lookup(sql, "file") if is_file else None
    return path if isinstance(path, str) and path.strip() else None


def _with_texts(
    value: Value,
    path: SourcePath,
    texts: Mapping[SourcePath, str],
    parents: AbstractSet[SourcePath],
) -> Value:
    """Return a copy of a value with texts at these paths. ``parents`` are the paths above them."""
    if path in texts:
        return texts[path]
    if path not in parents:
        return value
    if isinstance(value, Map):
        filled = Map()
        filled.key_positions, filled.value_positions = value.key_positions, value.value_positions
        for key, child in value.items():
            filled[key] = _with_texts(child, (*path, key), texts, parents)
        return filled
    if isinstance(value, Seq):
        items = Seq()
        items.lines, items.columns = value.lines, value.columns
        items.extend(_with_texts(v, (*path, i), texts, parents) for i, v in enumerate(value))
        return items
    return value


# What the desired state keeps of it


def name_sql_files(
    state: desired.DesiredState, by_source: Mapping[Location, str]
) -> desired.DesiredState:
    """Return the desired state with the path of each source whose SQL is in a file."""
    if not by_source:
        return state
    loads = tuple(_named_load(load, by_source) for load in state.loads)
    imports = tuple(
        replace(
            block,
            sources=block.sources and tuple(_named(source, by_source) for source in block.sources),
        )
        for block in state.blocks.imports
    )
    return replace(state, loads=loads, blocks=replace(state.blocks, imports=imports))


def _named_load(load: desired.Load, by_source: Mapping[Location, str]) -> desired.Load:
    changes: dict[str, Any] = {"source": _named(load.source, by_source)}
    return replace(load, **changes)


_AnySource = TypeVar("_AnySource", bound=desired.Source)


def _named(source: _AnySource, by_source: Mapping[Location, str]) -> _AnySource:
    file = by_source.get(source.location)
    if file is None or not isinstance(source, desired.SqlSource):
        return source
    changes: dict[str, Any] = {"sql_file": file}
    return replace(source, **changes)
