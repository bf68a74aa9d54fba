"""Which files a pattern or a folder names: found by name alone, none of them opened.

Python's own glob passes over folders that it may not list; of members that would be a
list that is too short.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from pathlib import Path, PurePosixPath

from segctl.engine.base import SourceError

STATE_FOLDER = "segctl.state.d"

_WILD = frozenset("*?[")


def is_pattern(path: str) -> bool:
    """Tell whether a path has a wildcard: ``*``, ``?`` or ``[``."""
    return bool(_WILD & set(path))


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder; what cannot be looked at is not taken for one."""
    try:
        return path.is_dir()
    except OSError:
        return False


def fixed_part(pattern: str) -> tuple[str, tuple[str, ...]]:
    """Part a pattern at its first wildcard: the folder before it, and the steps from there."""
    parts = PurePosixPath(pattern).parts
    at = next(i for i, part in enumerate(parts) if is_pattern(part))
    return PurePosixPath(*parts[:at]).as_posix(), parts[at:]


@dataclass(frozen=True, kw_only=True)
class GlobWalker:
    """A walk through folders; ``enter`` judges a folder by its name and gives its path.

    ``files`` and ``folders`` are the names that matched, each with what was given for
    its folder before it.
    """

    enter: Callable[[str], Path]
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def into(
        self, folder: str, steps: tuple[str, ...], above: frozenset[Path] = frozenset()
    ) -> None:
        """Match steps below a folder; ``**`` stands for folders at any depth.

        Raises ``SourceError`` for a folder that cannot be listed, and what ``enter``
        raises.
        """
        real = self.enter(folder).resolve()
        if real not in above:  # else a link to a folder that it stands in
            self._match(folder, steps, above | {real})

    def _match(self, folder: str, steps: tuple[str, ...], above: frozenset[Path]) -> None:
        step, rest = steps[0], steps[1:]
        if step == "**":
            self._match(folder, rest or ("*",), above)
        for name, deeper in self._entries(folder, step):
            path = name if folder == "." else f"{folder.rstrip('/')}/{name}"
            if step == "**":
                if deeper:
                    self.into(path, steps, above)
            elif not rest:
                (self.folders if deeper else self.files).add(path)
            elif deeper:
                self.into(path, rest, above)

    def _entries(self, folder: str, step: str) -> Iterator[tuple[str, bool]]:
        """Give what matches one step in a folder, and whether it is a folder itself."""
        path = self.enter(folder)
        if not is_pattern(step):
            if os.path.lexists(path / step):
                yield step, is_folder(path / step)
            return
        try:
            names = sorted(entry.name for entry in path.iterdir())
        except OSError as error:
            reason = (error.strerror or "cannot be listed").lower()
            raise SourceError("unreadable-file", f"{folder}: {reason}") from None
        for name in names:
            if _rule(step).match(name) and not _passed_over(name, step):
                yield name, is_folder(path / name)


def fits(names: Sequence[str], steps: Sequence[str]) -> bool:
    """Tell whether the steps match a name and the folders before it, as a walk would."""
    if not names or not steps:
        return not names and not steps
    step, rest = steps[0], steps[1:]
    if step == "**":
        deeper = len(names) > 1 and not _passed_over(names[0], step)
        return fits(names, rest or ("*",)) or (deeper and fits(names[1:], steps))
    return (
        bool(_rule(step).match(names[0]))
        and not (is_pattern(step) and _passed_over(names[0], step))
        and fits(names[1:], rest)
    )


@lru_cache
def _rule(step: str) -> re.Pattern[str]:
    return re.compile(translate(step))


def _passed_over(name: str, step: str) -> bool:
    """Tell whether a name is no data: hidden, a marker such as ``_SUCCESS``, or our own state."""
    if name == STATE_FOLDER:
        return True
    marked = name[0] == "." or (name[0] == "_" and "=" not in name)
    return marked and step[0] != name[0]
