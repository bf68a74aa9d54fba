"""A disk that crashes or fails at a given step, and may lose what was not synced."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segctl.core.disk import Disk

Loss = Literal["nothing", "content", "names", "both"]
LOSSES: tuple[Loss, ...] = ("nothing", "content", "names", "both")
"""What a crash loses: nothing (the process was killed), or what was not synced.

``content`` is the content of files, ``names`` are the entries of folders.
"""

MAX_STEPS = 200
"""More steps than a scenario has."""


def crash_steps() -> Iterator[int]:
    """Yield 1, 2, …; fails the test if it needs more than ``MAX_STEPS``."""
    yield from range(1, MAX_STEPS)
    raise AssertionError(f"more than {MAX_STEPS} steps")


class PowerCut(BaseException):
    """Ends the process, as the code under test sees it."""


@dataclass(kw_only=True)
class _Undo:
    """How to lose one change: ``where`` is the folder of a name, or the inode of content."""

    where: object
    names: bool
    run: Callable[[], object]


class FaultyDisk(Disk):
    """Counts its steps. Step ``at`` is done in part, then crashes, or fails with ``error``.

    ``spare`` is a folder on the same file system for copies of replaced files.
    """

    def __init__(
        self, spare: Path, *, at: int = 0, loss: Loss = "nothing", error: int | None = None
    ) -> None:
        self.steps = 0
        self._spare = spare
        self._at = at
        self._loss = loss
        self._error = error
        self._dead = False
        self._undo: list[_Undo] = []
        self._moved: dict[Path, Path] = {}

    def write_unsynced(self, path: Path, data: bytes) -> None:
        """Write a file as an engine does, without syncing it."""
        path.write_bytes(data)
        with path.open("rb+") as file:
            self._record_content(file.fileno(), 0)

    def create(self, path: Path) -> int:
        self._step()
        descriptor = super().create(path)
        self._record_name(path, lambda: self._current_path(path).unlink(missing_ok=True))
        return descriptor

    def append(self, path: Path) -> int:
        self._step()
        return super().append(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        size = os.fstat(descriptor).st_size
        self._record_content(descriptor, size)
        self._step(partial=lambda: os.write(descriptor, data[: len(data) // 2]))
        return super().write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._step()
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._step()
        inode = os.fstat(descriptor).st_ino
        self._undo = [undo for undo in self._undo if undo.names or undo.where != inode]

    def sync_folder(self, path: Path) -> None:
        self._step()
        self._undo = [undo for undo in self._undo if not undo.names or undo.where != path]

    def restrict(self, path: Path) -> None:
        self._step()
        super().restrict(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        kept = self._keep(target)
        super().rename(source, target)
        self._moved[source] = target

        def undo_rename() -> None:
            del self._moved[source]
            target.rename(source)
            if kept:
                os.link(kept, target)

        self._record_name(target, undo_rename)

    def unlink(self, path: Path) -> None:
        self._step()
        kept = self._keep(path)
        super().unlink(path)
        if kept:
            self._record_name(path, lambda: os.link(kept, path))

    def make_folder(self, path: Path) -> None:
        self._step()
        super().make_folder(path)
        self._record_name(path, lambda: shutil.rmtree(path))

    def remove_folder(self, path: Path) -> None:
        self._step()
        super().remove_folder(path)
        self._record_name(path, path.mkdir)

    def _step(self, *, partial: Callable[[], object] = lambda: None) -> None:
        if self._dead:
            raise PowerCut
        self.steps += 1
        if self.steps == self._at:
            partial()
            if self._error is not None:
                raise OSError(self._error, os.strerror(self._error))
            self._die()

    def _die(self) -> None:
        self._dead = True
        self._lose_unsynced()
        raise PowerCut

    def _lose_unsynced(self) -> None:
        for undo in reversed(self._undo):
            if self._loss in {"both", "names" if undo.names else "content"}:
                undo.run()

    def _current_path(self, path: Path) -> Path:
        """Return the path of a file whose folder may have been renamed after it was created."""
        return self._moved.get(path.parent, path.parent) / path.name

    def _record_name(self, path: Path, run: Callable[[], object]) -> None:
        self._undo.append(_Undo(where=path.parent, names=True, run=run))

    def _record_content(self, descriptor: int, size: int) -> None:
        # A second link, because by then the file may be renamed and the descriptor closed.
        inode = os.fstat(descriptor).st_ino
        kept = self._spare / f"{self.steps}-{inode}"
        kept.hardlink_to(Path(f"/proc/self/fd/{descriptor}").readlink())
        self._undo.append(_Undo(where=inode, names=False, run=lambda: os.truncate(kept, size)))

    def _keep(self, path: Path) -> Path | None:
        if not path.is_file() or path.is_symlink():
            return None
        kept = self._spare / f"{self.steps}-{path.name}"
        os.link(path, kept)
        return kept
