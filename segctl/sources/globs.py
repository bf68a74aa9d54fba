"""Find the files that a pattern or a folder names. No file is opened.

Python's own glob silently skips folders that it may not list. For members, that would be
an incomplete list, so here it is an error.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from fnmatch import translate
from functools import lru_cache
from pathlib import Path, PurePosixPath

from segctl.core.dataclass import dataclass
from segctl.engine.model import SourceError

STATE_FOLDER = "segctl.state.d"

SKIPPED_NAMES = "Names that begin with a dot or an underscore are skipped."
"""Hint for a folder or pattern without files; see ``_is_skipped``."""

_WILDCARDS = frozenset("*?[")


def is_pattern(path: str) -> bool:
    """Whether a path has a wildcard: ``*``, ``?`` or ``[``."""
    return bool(_WILDCARDS & set(path))


def is_folder(path: Path) -> bool:
    """Whether a path is a folder. False if it cannot be examined."""
    try:
        return path.is_dir()
    except OSError:
        return False


def split_pattern(pattern: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder before the first wildcard, and the path parts from there on."""
    parts = PurePosixPath(pattern).parts
    first = next(index for index, part in enumerate(parts) if is_pattern(part))
    return PurePosixPath(*parts[:first]).as_posix(), parts[first:]


@dataclass(frozen=True, kw_only=True)
class GlobWalker:
    """A walk through folders that collects the matching names.

    ``enter`` checks that a folder may be read and returns its path. ``files`` and
    ``folders`` are the matching names, each starting with the folder that ``walk`` got.
    """

    enter: Callable[[str], Path]
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    _matched: set[tuple[str, tuple[str, ...]]] = field(default_factory=set, repr=False)

    def walk(
        self, folder: str, parts: tuple[str, ...], parents: frozenset[Path] = frozenset()
    ) -> None:
        """Match pattern parts below a folder. ``**`` matches folders at any depth.

        Raises ``SourceError`` for a folder that cannot be listed, and what ``enter``
        raises.
        """
        real = self.enter(folder).resolve()
        if real not in parents:  # else a link to one of the folders that contain it
            self._match(folder, parts, parents | {real})

    def _match(self, folder: str, parts: tuple[str, ...], parents: frozenset[Path]) -> None:
        if (folder, parts) in self._matched:  # several ** lead to the same folder in many ways
            return
        self._matched.add((folder, parts))
        part, rest = parts[0], parts[1:]
        if part == "**":
            self._match(folder, rest or ("*",), parents)
        for name, is_dir in self._entries(folder, part):
            path = name if folder == "." else f"{folder.rstrip('/')}/{name}"
            if part == "**":
                if is_dir:
                    self.walk(path, parts, parents)
            elif not rest:
                (self.folders if is_dir else self.files).add(path)
            elif is_dir:
                self.walk(path, rest, parents)

    def _entries(self, folder: str, part: str) -> Iterator[tuple[str, bool]]:
        """Yield the names in a folder that match one part, and whether each is a folder."""
        path = self.enter(folder)
        if not is_pattern(part):
            if os.path.lexists(path / part):
                yield part, is_folder(path / part)
            return
        try:
            names = sorted(entry.name for entry in path.iterdir())
        except OSError as error:
            reason = (error.strerror or "cannot be listed").lower()
            raise SourceError(
                "unreadable-file", f"{folder}: {reason}", "Check the folder and its permissions."
            ) from None
        for name in names:
            if _regex(part).match(name) and not _is_skipped(name, part):
                yield name, is_folder(path / name)


def matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether pattern parts match a name and its folders, as ``GlobWalker`` would."""
    return _matches_rest(tuple(names), tuple(parts), set())


def _matches_rest(
    names: tuple[str, ...], parts: tuple[str, ...], failed: set[tuple[int, int]]
) -> bool:
    """Match the rest of a name; ``failed`` are the lengths of rests that do not match."""
    if not names or not parts:
        return not names and not parts
    here = (len(names), len(parts))
    if here in failed:
        return False
    part, rest = parts[0], parts[1:]
    if part == "**":
        deeper = len(names) > 1 and not _is_skipped(names[0], part)
        found = _matches_rest(names, rest or ("*",), failed) or (
            deeper and _matches_rest(names[1:], parts, failed)
        )
    else:
        found = (
            bool(_regex(part).match(names[0]))
            and not (is_pattern(part) and _is_skipped(names[0], part))
            and _matches_rest(names[1:], rest, failed)
        )
    if not found:
        failed.add(here)
    return found


@lru_cache
def _regex(part: str) -> re.Pattern[str]:
    return re.compile(translate(part))


def _is_skipped(name: str, part: str) -> bool:
    """Whether a name is not data: hidden, a marker such as ``_SUCCESS``, or segctl's state."""
    if name == STATE_FOLDER:
        return True
    marked = name[0] == "." or (name[0] == "_" and "=" not in name)
    return marked and part[0] != name[0]
