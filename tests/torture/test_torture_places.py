"""Where a run's files are while it runs, and what remains of them."""

from pathlib import Path

from segctl.core.disk import Disk
from tests.torture.torture_kit import Place, check_converged, declare, users

WANTED = {"gold": users(0, 20)}


class PickyDisk(Disk):
    """Allows renames only within the state folders, as if others were on another file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def rename(self, source: Path, target: Path) -> None:
        assert source.is_relative_to(self._root)
        super().rename(source, target)


def test_an_apply_needs_no_temporary_folder_on_the_file_system_of_the_state(place: Place) -> None:
    declare(place.root, WANTED)
    place.apply(disk=PickyDisk(place.root))
    check_converged(place, WANTED)
