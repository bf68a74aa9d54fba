"""Which files a source may read: those of the workspace, and of folders it allows by name."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from segctl.engine.base import SourceError
from segctl.manifests.file_formats import infer_format
from segctl.manifests.object_urls import is_url
from segctl.sources.content_hash import FileDigests, digest_files
from segctl.sources.globs import GlobWalker, fixed_part, is_folder, is_pattern
from segctl.sources.object_store import ObjectFetcher

_FROM_THE_ROOT = "Paths start at the workspace root."
_PASSED_OVER = "Names that begin with a dot or an underscore are passed over."


@dataclass(frozen=True, kw_only=True)
class PathPolicy:
    """The folders that sources may read: the workspace ``root`` and ``allowed`` ones.

    With ``objects``, they may read what the environment's credentials let them of buckets.
    """

    root: Path
    allowed: tuple[str, ...] = ()
    objects: ObjectFetcher | None = field(default=None, repr=False, compare=False)

    def resolve(self, path: str) -> Path:
        """Give the real file that a path names; raises ``SourceError``.

        Relative paths are relative to the root.  Symbolic links are followed before
        the decision, so that none leads out.
        """
        _check_form(path)
        real = self._real(path)
        if not os.path.lexists(real):
            raise SourceError("missing-file", f"there is no file {path}", _FROM_THE_ROOT)
        return _regular(real, path)

    def locate(self, path: str) -> Path:
        """Judge a file as ``resolve`` does, and give it under the name that it was given.

        Its name tells its compression and its partition, which that of the file behind
        a link need not.  An object's file is there once it has been brought.
        """
        if self.objects and is_url(path):
            return self.objects.locate(path)
        real = self.resolve(path)
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            summary = f"the name of {shown} is not UTF-8"
            raise SourceError("bad-path", summary, "Rename it.") from None
        return real if ".." in Path(path).parts else self._root / path

    def find(self, path: str) -> tuple[str, ...]:
        """Give the names of the files that a path stands for, sorted; at least one.

        The path is that of a file, that of a folder, which stands for all files in it
        at any depth, or a pattern.  Raises ``SourceError``; the files themselves are
        not looked at.
        """
        if self.objects and is_url(path):
            return self.objects.find(path)
        _check_form(path)
        there = os.path.lexists(self._root / path)
        if there and is_folder(self._root / path):
            return self._in_folder(path)
        if there or not is_pattern(path):
            return (path,)
        return self._matching(path)

    def download(self, files: Iterable[Path]) -> None:
        """Have those of the files there that are objects'; raises ``SourceError``."""
        if self.objects:
            self.objects.download(files)

    def digest_files(self, files: Iterable[Path]) -> FileDigests:
        """Digest the content of files; that of an object is told by its store, without a byte."""
        several = tuple(files)
        told = {file: self.objects.content_id_of(file) for file in several} if self.objects else {}
        known = {file: identity for file, identity in told.items() if identity}
        return {**digest_files(file for file in several if file not in known), **known}

    def strip_scratch_folder(self, text: str) -> str:
        """Give a text without the folder in which this run has the files of objects."""
        return self.objects.strip_scratch_folder(text) if self.objects else text

    def display_name(self, file: Path) -> str:
        """Name a file for people: by its path below the root, or by its object's address."""
        address = self.objects.address_of(file) if self.objects else None
        inside = file.relative_to(self._root) if file.is_relative_to(self._root) else file
        return address or inside.as_posix()

    def expand(self, path: str) -> tuple[Path, ...]:
        """Give the files that a path stands for; see ``find`` and ``locate``."""
        return tuple(self.locate(name) for name in self.find(path))

    def _in_folder(self, folder: str) -> tuple[str, ...]:
        walk = GlobWalker(enter=self._enter)
        walk.into(Path(folder).as_posix(), ("**",))
        if not walk.files:
            raise SourceError("missing-file", f"the folder {folder} holds no file", _PASSED_OVER)
        return tuple(sorted(walk.files))

    def _matching(self, pattern: str) -> tuple[str, ...]:
        folder, steps = fixed_part(pattern)
        if ".." in steps:
            raise SourceError(
                "outside-workspace",
                f"{pattern} may lead outside of the workspace",
                "Write a pattern without `..` after its first wildcard.",
            )
        if not is_folder(self._enter(folder)):
            raise SourceError(
                "missing-file", f"no file matches {pattern}", f"There is no folder {folder}."
            )
        walk = GlobWalker(enter=self._enter)
        walk.into(folder, steps)
        _check_folders(walk.folders, walk.files, pattern)
        if not walk.files:
            folders = "It names folders: end it in their files' names, such as /*.csv."
            advice = folders if pattern.endswith("/") else f"{_FROM_THE_ROOT} {_PASSED_OVER}"
            raise SourceError("missing-file", f"no file matches {pattern}", advice)
        return tuple(sorted(walk.files))

    def _enter(self, folder: str) -> Path:
        """Judge a folder before anything in it is looked at."""
        self._real(folder)
        return self._root / folder

    def _real(self, path: str) -> Path:
        try:
            real = (self._root / path).resolve()
            real.exists()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "a loop of symbolic links"
            raise SourceError("unreadable-file", f"{path}: {reason.lower()}") from None
        if not any(real.is_relative_to(folder) for folder in self._folders):
            raise SourceError(
                "outside-workspace",
                f"{path} lies outside of the workspace",
                "Move it inside, or name its folder under spec.allowFolders in segctl.yaml.",
            )
        return real

    @cached_property
    def _root(self) -> Path:
        return self.root.resolve()

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        return (self._root, *((self._root / folder).resolve() for folder in self.allowed))


def _check_form(path: str) -> None:
    if not path or "\0" in path:
        raise SourceError("bad-path", "the path is empty or has a NUL character")
    if is_url(path):
        raise SourceError(
            "outside-workspace",
            f"{path} is not a file of the workspace",
            "A source reads files; copy it into the workspace first.",
        )


def _check_folders(folders: Iterable[str], files: Iterable[str], pattern: str) -> None:
    """Refuse a folder that is named like a file of members: its own are not to be missed."""
    for folder in sorted(folders):
        if infer_format(folder) and not any(file.startswith(f"{folder}/") for file in files):
            raise SourceError(
                "unreadable-file",
                f"{folder} is a folder",
                f"Write {pattern}/* for the files in it, or a pattern that it does not match.",
            )


def _regular(real: Path, path: str) -> Path:
    try:
        mode = real.stat().st_mode
        if stat.S_ISREG(mode):
            with real.open("rb"):
                return real
    except OSError as error:
        raise SourceError(
            "unreadable-file", f"{path}: {(error.strerror or 'cannot be read').lower()}"
        ) from None
    what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
    raise SourceError("unreadable-file", f"{path} is {what}")
