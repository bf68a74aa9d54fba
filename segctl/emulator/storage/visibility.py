"""The members as they were a moment ago, for a service that shows changes late.

The setting ``visibility_lag_ms`` hides the newest changes.  A copy of all members
follows the log at that distance: each change is applied to it once, when it becomes
visible.

Merges of profiles are visible at once, with the memberships of then: the log does not say
which of the two profiles was a member before.
"""

from collections.abc import Mapping, Sequence

from pyroaring import BitMap

from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.event_runs import EventRun, RunFilter
from segctl.emulator.storage.state import ADD, Account, Segment


class VisibleMembers:
    """The members of all segments as they were at a time that moves on."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._members: dict[int, BitMap] = {}
        self._moved_to: tuple[float, int] | None = None
        """The time, and the end of the log when it was reached."""
        self._position = 1
        """The first event that is not visible."""
        self._merged: dict[tuple[int, int], int] = {}
        """By account and profile, the first event that a merge has not made visible."""

    def drop(self) -> None:
        """Forget the copy, when every change is visible at once."""
        if self._moved_to is not None:
            self._members.clear()
            self._moved_to = None

    def move(self, until: float, accounts: Mapping[str, Account]) -> None:
        """Move to the time ``until``, in seconds since 1970."""
        if (until, self._log.next_event) == self._moved_to:
            return
        if self._moved_to is None or until < self._moved_to[0]:
            self._copy(until, accounts)
        self._moved_to = (until, self._log.next_event)
        for piece in self._log.pieces(RunFilter(), start=self._position):
            for run in piece:
                if run.ts > until:
                    return
                if run.changed:
                    self._change(run, is_add=run.action == ADD)
                self._position = run.seq + len(run.users)

    def of(self, segment: Segment) -> BitMap:
        """Return the members of a segment at the time moved to."""
        return self._members.get(segment.id, BitMap()) if not segment.is_deleted else BitMap()

    def _copy(self, until: float, accounts: Mapping[str, Account]) -> None:
        """Copy the members of now, and undo what happened after ``until``."""
        self._members = {
            segment.id: segment.members.copy()
            for account in accounts.values()
            for segment in account.segments.values()
        }
        self._position = self._log.first_after(until)
        self._merged = self._log.merges.last_after(self._position)
        for piece in self._log.pieces(RunFilter(changed=True), newest_first=True):
            for run in piece:
                if run.seq < self._position:
                    return
                self._change(run, is_add=run.action != ADD)

    def _change(self, run: EventRun, *, is_add: bool) -> None:
        users: Sequence[int] = run.users
        if self._merged:
            users = [each for each in users if run.seq >= self._merged.get((run.account, each), 0)]
        members = self._members.setdefault(run.segment, BitMap())
        if is_add:
            members.update(users)
        else:
            members.difference_update(BitMap(users))
