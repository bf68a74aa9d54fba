"""A disk that dies at its k-th step, or fails there, and may forget what was not synced."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segctl.core.disk import Disk

Loss = Literal["nothing", "content", "names", "both"]
LOSSES: tuple[Loss, ...] = ("nothing", "content", "names", "both")
"""What a cut forgets: nothing (the process died), or what no sync brought to the disk."""


class PowerCut(BaseException):
    """The end of the process, as far as the code under test can tell."""


@dataclass(kw_only=True)
class _Undo:
    place: object
    names: bool
    run: Callable[[], object]


class FaultyDisk(Disk):
    """Counts its steps; step ``at`` is torn, and fails with ``error`` or ends everything.

    ``spare`` is a folder on the same file system in which replaced files are kept.
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

    def written_elsewhere(self, path: Path, data: bytes) -> None:
        """Write a file as an engine does, without bringing it to the disk."""
        path.write_bytes(data)
        with path.open("rb+") as file:
            self._content(file.fileno(), 0)

    def create(self, path: Path) -> int:
        self._step()
        descriptor = super().create(path)
        self._name(path, lambda: self._now(path).unlink(missing_ok=True))
        return descriptor

    def append(self, path: Path) -> int:
        self._step()
        return super().append(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        size = os.fstat(descriptor).st_size
        self._content(descriptor, size)
        self._step(torn=lambda: os.write(descriptor, data[: len(data) // 2]))
        return super().write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._step()
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._step()
        inode = os.fstat(descriptor).st_ino
        self._undo = [undo for undo in self._undo if undo.names or undo.place != inode]

    def sync_folder(self, path: Path) -> None:
        self._step()
        self._undo = [undo for undo in self._undo if not undo.names or undo.place != path]

    def restrict(self, path: Path) -> None:
        self._step()
        super().restrict(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        kept = self._keep(target)
        super().rename(source, target)
        self._moved[source] = target

        def back() -> None:
            del self._moved[source]
            target.rename(source)
            if kept:
                os.link(kept, target)

        self._name(target, back)

    def unlink(self, path: Path) -> None:
        self._step()
        kept = self._keep(path)
        super().unlink(path)
        if kept:
            self._name(path, lambda: os.link(kept, path))

    def make_folder(self, path: Path) -> None:
        self._step()
        super().make_folder(path)
        self._name(path, lambda: shutil.rmtree(path))

    def remove_folder(self, path: Path) -> None:
        self._step()
        super().remove_folder(path)
        self._name(path, path.mkdir)

    def _step(self, *, torn: Callable[[], object] = lambda: None) -> None:
        if self._dead:
            raise PowerCut
        self.steps += 1
        if self.steps == self._at:
            torn()
            if self._error is not None:
                raise OSError(self._error, os.strerror(self._error))
            self._die()

    def _die(self) -> None:
        self._dead = True
        self._forget()
        raise PowerCut

    def _forget(self) -> None:
        for undo in reversed(self._undo):
            if self._loss in {"both", "names" if undo.names else "content"}:
                undo.run()

    def _now(self, path: Path) -> Path:
        """Give where a file made in a folder is, which may have got another name since."""
        return self._moved.get(path.parent, path.parent) / path.name

    def _name(self, path: Path, run: Callable[[], object]) -> None:
        self._undo.append(_Undo(place=path.parent, names=True, run=run))

    def _content(self, descriptor: int, size: int) -> None:
        # By a second link: the file may have another name, and a closed descriptor, by then.
        place = os.fstat(descriptor).st_ino
        kept = self._spare / f"{self.steps}-{place}"
        kept.hardlink_to(Path(f"/proc/self/fd/{descriptor}").readlink())
        self._undo.append(_Undo(place=place, names=False, run=lambda: os.truncate(kept, size)))

    def _keep(self, path: Path) -> Path | None:
        if not path.is_file() or path.is_symlink():
            return None
        kept = self._spare / f"{self.steps}-{path.name}"
        os.link(path, kept)
        return kept
