"""Which files a source may read: files of the workspace and of folders allowed by name."""

import os
import stat
from collections.abc import Iterable
from dataclasses import field
from functools import cached_property
from pathlib import Path

from segctl.core.dataclass import dataclass
from segctl.engine.model import SourceError
from segctl.engine.source_errors import untrusted
from segctl.manifests.file_formats import infer_format
from segctl.manifests.object_urls import is_url
from segctl.sources.content_hash import FileDigests, digest_files
from segctl.sources.globs import (
    SKIPPED_NAMES,
    STATE_FOLDER,
    GlobWalker,
    is_folder,
    is_pattern,
    split_pattern,
)
from segctl.sources.object_store import ObjectFetcher

_FROM_ROOT = "Paths are relative to the workspace root."


@dataclass(frozen=True, kw_only=True)
class PathPolicy:
    """The folders that sources may read: the workspace ``root`` and ``allowed`` ones.

    Unless ``is_trusted``, the allowed ones do not count. With ``objects``, sources may also read
    any object that the credentials in the environment can read.
    """

    root: Path
    allowed: tuple[str, ...] = ()
    is_trusted: bool = True
    objects: ObjectFetcher | None = field(default=None, repr=False, compare=False)

    def resolve(self, path: str) -> Path:
        """Return the real path of a regular file that may be read. Raises ``SourceError``.

        Relative paths start at the root. Symbolic links are followed before the check, so
        a link cannot lead outside.
        """
        _check_form(path)
        real = self._real_path(path)
        if not os.path.lexists(real):
            raise SourceError("missing-file", f"there is no file {path}", _FROM_ROOT)
        return _check_regular(real, path)

    def locate(self, path: str) -> Path:
        """Check a file as ``resolve`` does, and return its absolute path under its own name.

        The name of a symbolic link shows compression and partitions, which the name of its
        target may not. For an object, the result is a scratch file that exists once
        ``download`` has been called.
        """
        if self.objects and is_url(path):
            return self.objects.locate(path)
        real = self.resolve(path)
        try:
            path.encode()
        except UnicodeEncodeError:
            escaped = os.fsencode(path).decode("utf-8", "backslashreplace")
            summary = f"the file name {escaped} is not UTF-8"
            raise SourceError("bad-path", summary, "Rename the file.") from None
        return real if ".." in Path(path).parts else self._root / path

    def find(self, path: str) -> tuple[str, ...]:
        """Return the names of the files that a path means, sorted, at least one.

        The path is a file, a folder (all files in it at any depth) or a pattern. The files
        themselves are not examined. Raises ``SourceError``.
        """
        if self.objects and is_url(path):
            return self.objects.find(path)
        _check_form(path)
        exists = os.path.lexists(self._root / path)
        if exists and is_folder(self._root / path):
            return self._find_in_folder(path)
        if exists or not is_pattern(path):
            return (path,)
        return self._find_matching(path)

    def download(self, files: Iterable[Path]) -> None:
        """Download the objects whose scratch files are among the files. Raises ``SourceError``."""
        if self.objects:
            self.objects.download(files)

    def digest_files(self, files: Iterable[Path]) -> FileDigests:
        """Return the digests of files. An object is not downloaded: its ETag is used instead."""
        files = tuple(files)
        ids = {file: self.objects.content_id_of(file) for file in files} if self.objects else {}
        known = {file: content_id for file, content_id in ids.items() if content_id}
        return {**digest_files(file for file in files if file not in known), **known}

    def strip_scratch_folder(self, text: str) -> str:
        """Remove this run's scratch folder for objects from a text that contains paths."""
        return self.objects.strip_scratch_folder(text) if self.objects else text

    def display_name(self, file: Path) -> str:
        """Return a file's path below the root, or the URL of its object, for messages."""
        url = self.objects.url_of(file) if self.objects else None
        inside = file.relative_to(self._root) if file.is_relative_to(self._root) else file
        return url or inside.as_posix()

    def _find_in_folder(self, folder: str) -> tuple[str, ...]:
        walker = GlobWalker(enter=self._enter)
        walker.walk(Path(folder).as_posix(), ("**",))
        if not walker.files:
            raise SourceError(
                "missing-file", f"the folder {folder} contains no files", SKIPPED_NAMES
            )
        return tuple(sorted(walker.files))

    def _find_matching(self, pattern: str) -> tuple[str, ...]:
        folder, parts = split_pattern(pattern)
        if ".." in parts:
            raise SourceError(
                "outside-workspace",
                f"{pattern} has `..` after a wildcard, which could leave the workspace",
                "Write `..` only before the first wildcard.",
            )
        if not is_folder(self._enter(folder)):
            raise SourceError(
                "missing-file", f"no file matches {pattern}", f"There is no folder {folder}."
            )
        walker = GlobWalker(enter=self._enter)
        walker.walk(folder, parts)
        _check_folders(walker.folders, walker.files, pattern)
        if not walker.files:
            only_folders = (
                "A pattern that ends in / matches folders only. End it in file names, as in /*.csv."
            )
            hint = only_folders if pattern.endswith("/") else f"{_FROM_ROOT} {SKIPPED_NAMES}"
            raise SourceError("missing-file", f"no file matches {pattern}", hint)
        return tuple(sorted(walker.files))

    def _enter(self, folder: str) -> Path:
        """Return the path of a folder, once it is known that it may be read."""
        self._real_path(folder)
        return self._root / folder

    def _real_path(self, path: str) -> Path:
        try:
            real = (self._root / path).resolve()
            real.exists()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "a loop of symbolic links"
            raise SourceError("unreadable-file", f"{path}: {reason.lower()}") from None
        inside = real.relative_to(self._root) if real.is_relative_to(self._root) else real
        if any(_is_private(part) for part in inside.parts):
            raise SourceError(
                "private-path",
                f"{path} belongs to segctl's state or to git, which no source may read",
                "Read a file that holds members.",
            )
        if not any(real.is_relative_to(folder) for folder in self._folders):
            raise SourceError(
                "outside-workspace",
                f"{path} is outside the workspace",
                "Move it inside, or add its folder to spec.allowFolders in segctl.yaml.",
            )
        if not self.is_trusted and not real.is_relative_to(self._root):
            raise untrusted(f"{path} is outside the workspace; it is not read")
        return real

    @cached_property
    def _root(self) -> Path:
        return self.root.resolve()

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        return (self._root, *((self._root / folder).resolve() for folder in self.allowed))


def _is_private(name: str) -> bool:
    """Whether a file or folder is of segctl's state or of git."""
    folded = name.casefold()
    return folded in (".git", STATE_FOLDER) or folded.startswith("segctl.state.json")


def _check_form(path: str) -> None:
    if not path or "\0" in path:
        raise SourceError(
            "bad-path", "the path is empty or contains a NUL character", "Write the path of a file."
        )
    if is_url(path):
        raise SourceError(
            "outside-workspace",
            f"{path} is not a file in the workspace",
            "Copy the file into the workspace, and write its path.",
        )


def _check_folders(folders: Iterable[str], files: Iterable[str], pattern: str) -> None:
    """Refuse a folder named like a member file, as its files would be missed."""
    for folder in sorted(folders):
        if infer_format(folder) and not any(file.startswith(f"{folder}/") for file in files):
            raise SourceError(
                "unreadable-file",
                f"{folder} is a folder",
                f"Write {pattern}/* for the files in it, or a pattern that does not match it.",
            )


def _check_regular(real: Path, path: str) -> Path:
    try:
        mode = real.stat().st_mode
        if stat.S_ISREG(mode):
            with real.open("rb"):
                return real
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise SourceError("unreadable-file", f"{path}: {reason}") from None
    if stat.S_ISDIR(mode):
        raise SourceError("unreadable-file", f"{path} is a folder", "Write the path of a file.")
    raise SourceError(
        "unreadable-file", f"{path} is not a regular file", "Write the path of a regular file."
    )
