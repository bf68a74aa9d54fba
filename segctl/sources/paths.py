"""Which files a source may read: those of the workspace, and of folders it allows by name."""

import stat
from dataclasses import dataclass
from pathlib import Path

from segctl.engine.base import RowsUnreadable

_GLOB = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The folders that sources may read: the workspace ``root`` and ``allowed`` ones."""

    root: Path
    allowed: tuple[str, ...] = ()

    def resolve(self, path: str) -> Path:
        """Give the real file that a path names; raises ``RowsUnreadable``.

        Relative paths are relative to the root.  Symbolic links are followed before
        the decision, so that none leads out.
        """
        if not path or "\0" in path:
            raise RowsUnreadable("bad-path", "the path is empty or has a NUL character")
        if "://" in path:
            raise RowsUnreadable(
                "outside-workspace",
                f"{path} is not a file of the workspace",
                "A source reads files; copy it into the workspace first.",
            )
        try:
            real = (self.root / path).resolve()
            there = real.exists()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "a loop of symbolic links"
            raise RowsUnreadable("unreadable-file", f"{path}: {reason.lower()}") from None
        if not self._allows(real):
            raise RowsUnreadable(
                "outside-workspace",
                f"{path} lies outside of the workspace",
                "Move it inside, or name its folder under spec.allowFolders in segctl.yaml.",
            )
        if not there:
            raise RowsUnreadable(
                "missing-file", f"there is no file {path}", "Paths start at the workspace root."
            )
        return _regular(real, path)

    def expand(self, pattern: str) -> tuple[Path, ...]:
        """Give the real files that a glob names, sorted; at least one."""
        if not _GLOB & set(pattern):
            return (self.resolve(pattern),)
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise RowsUnreadable(
                "outside-workspace",
                f"{pattern} may lead outside of the workspace",
                "Write a pattern relative to the workspace root, without `..`.",
            )
        try:
            found = sorted(
                match.relative_to(self.root).as_posix()
                for match in self.root.glob(pattern)
                if not match.is_dir()
            )
        except (ValueError, NotImplementedError):
            raise RowsUnreadable("bad-path", f"{pattern} is not a file pattern") from None
        if not found:
            raise RowsUnreadable(
                "missing-file", f"no file matches {pattern}", "Paths start at the workspace root."
            )
        return tuple(self.resolve(path) for path in found)

    def _allows(self, real: Path) -> bool:
        root = self.root.resolve()
        folders = [root, *((root / folder).resolve() for folder in self.allowed)]
        return any(real.is_relative_to(folder) for folder in folders)


def _regular(real: Path, path: str) -> Path:
    try:
        mode = real.stat().st_mode
        if stat.S_ISREG(mode):
            with real.open("rb"):
                return real
    except OSError as error:
        raise RowsUnreadable(
            "unreadable-file", f"{path}: {(error.strerror or 'cannot be read').lower()}"
        ) from None
    what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
    raise RowsUnreadable("unreadable-file", f"{path} is {what}")
