"""A disk error at any step is reported, and the next run on a working disk finishes."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segctl.core.disk import Disk
from segctl.core.errors import OperationError, SegctlError
from tests.core.faulty_disk import FaultyDisk
from tests.torture.conftest import Covered, some_of
from tests.torture.torture_kit import Place, Victims, check_converged, copied
from tests.torture.torture_scenarios import SCENARIOS, SECOND, changed, check_finished_by_the_next

SAMPLE = 2
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)


class FailingDisk(FaultyDisk):
    """A disk that fails at one step, or from that step on."""

    def __init__(self, place: Place, *, at: int, error: int, lasting: bool) -> None:
        super().__init__(place.spare, at=at, error=error)
        self._lasting = lasting

    def _step(self, *, partial: Callable[[], object] = lambda: None) -> None:
        super()._step(partial=partial)
        if self._lasting and 0 < self._at < self.steps:
            raise OSError(self._error, os.strerror(self._error or 0))


def outcome(place: Place, disk: Disk) -> SegctlError | None:
    """Apply. Return the error that stopped it, or ``None`` if the apply succeeded."""
    try:
        place.apply(disk=disk)
    except SegctlError as stopped:
        return stopped
    return None


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: errno.errorcode[error])
def test_a_disk_error_at_any_step_is_reported_and_the_next_run_finishes(
    error: int, lasting: bool, place: Place, victims: Victims, covered: Covered
) -> None:
    [scenario] = (s for s in SCENARIOS if s.name == "adds and removals")
    scenario.prepare(place, victims)
    memory = place.service.remembered()
    with copied(place) as whole:
        counting = FailingDisk(whole, at=0, error=error, lasting=lasting)
        whole.apply(disk=counting)
    name = f"{errno.errorcode[error]} {lasting}"
    points = some_of(counting.steps, name, sample=SAMPLE)
    for point in points:
        place.service.become(memory)
        with copied(place) as copy:
            stopped = outcome(copy, FailingDisk(copy, at=point, error=error, lasting=lasting))
            assert stopped is None or (os.strerror(error) in stopped.message and stopped.hint)
            check_finished_by_the_next(copy, scenario)
    covered(f"disk errors ({errno.errorcode[error]})", len(points))


class NoLogDisk(Disk):
    """A disk that cannot sync journal records."""

    def sync(self, descriptor: int) -> None:
        log = Path(f"/proc/self/fd/{descriptor}").readlink().name == "log.jsonl"
        if log and os.fstat(descriptor).st_size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)


def test_nothing_is_sent_that_the_journal_cannot_hold(place: Place) -> None:
    changed(place)
    before = place.service.remembered()
    with pytest.raises(OperationError, match=r"^cannot write the journal: Input/output error$"):
        place.apply(disk=NoLogDisk())
    assert place.service.remembered() == before


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Limit every file of this process to ``limit`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [400, 1_000, 1_500, 3_000, 4_000])
def test_a_file_size_limit_is_reported_for_every_writer(place: Place, limit: int) -> None:
    changed(place)
    with small_files(limit), pytest.raises(OperationError, match="File too large"):
        place.apply()
    place.apply()
    check_converged(place, SECOND)
