"""The journals of a local state, by the folder of the running apply's journal."""

from pathlib import Path

from segctl.backends.local_journals import LocalJournals
from segctl.core.disk import Disk


def journals_in(folder: Path, disk: Disk | None = None) -> LocalJournals:
    return LocalJournals(folder, folder.parent / "applies", disk=disk)
