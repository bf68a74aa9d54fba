"""Saves members and reach now and then, so that a start reads a short part of the log.

Each segment is saved with its own position in the log, the one saved longest ago first,
and only a little with each change: saving all of them at once would stop the service
for a moment.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from sqlite3 import Connection

from pyroaring import BitMap

from segctl.emulator.storage.database import Database
from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.event_runs import EventRun, RunFilter
from segctl.emulator.storage.linking import replace_member
from segctl.emulator.storage.merges import Merge
from segctl.emulator.storage.state import Account, Segment

CHANGES_TO_REPLAY = 2_000_000
RUNS_TO_REPLAY = 50_000
REACH_TO_REPLAY = 20_000
"""What a start replays at most, about: a second of work altogether."""

BYTES_PER_STEP = 1 << 18


class Checkpoints:
    """Which members differ from those saved, and since when."""

    def __init__(
        self, database: Database, log: EventLog, *, changes_to_replay: int = CHANGES_TO_REPLAY
    ) -> None:
        self._database = database
        self._log = log
        self._changes_to_replay = changes_to_replay
        self._runs = 0
        self._unsaved: dict[int, tuple[Segment, int, int]] = {}
        """Segments by id, the longest unsaved first: with the first event and run they lack."""
        (self._reach_rows,) = self._connection.execute(
            "SELECT count(*) FROM reach_journal"
        ).fetchone()

    @property
    def _connection(self) -> Connection:
        return self._database.connection

    # -- loading --------------------------------------------------------------

    def load(self, accounts: Mapping[int, Account]) -> None:
        """Set the members and the reach of accounts to those saved, and replay the rest."""
        for number, channel, blob in self._connection.execute(
            "SELECT account, channel, bitmap FROM reachable"
        ):
            accounts[number].profiles.reachable[channel] = BitMap.deserialize(blob)
        positions = self._load_members(accounts)
        self._replay_reach(accounts)
        start = int(self._database.get_meta("replay_from") or 1)
        merges = deque(self._log.merges.in_order())
        for piece in self._log.pieces(RunFilter(), start=start, as_stored=True):
            for run in piece:
                while merges and merges[0].event <= run.seq:
                    _replay_merge(merges.popleft(), accounts, positions)
                account = accounts[run.account]
                segment = account.segments[run.segment]
                if run.seq >= positions.get(run.segment, 1) and not segment.is_deleted:
                    self.note(segment, run)
                    if run.changed:
                        segment.change(run.action, run.users, account.profiles)
        for merge in merges:
            _replay_merge(merge, accounts, positions)

    def _load_members(self, accounts: Mapping[int, Account]) -> dict[int, int]:
        segments = {
            segment.id: (account, segment)
            for account in accounts.values()
            for segment in account.segments.values()
        }
        positions = {}
        for segment_id, blob, event in self._connection.execute(
            "SELECT segment, bitmap, event FROM members"
        ):
            account, segment = segments[segment_id]
            positions[segment_id] = event
            if not segment.is_deleted:
                segment.members = BitMap.deserialize(blob)
                segment.count_reachable(segment.members, account.profiles.reachable, 1)
        return positions

    def _replay_reach(self, accounts: Mapping[int, Account]) -> None:
        reach: dict[int, dict[int, int]] = {}
        for number, profile, bits in self._connection.execute(
            "SELECT account, profile, reach FROM reach_journal ORDER BY number"
        ):
            reach.setdefault(number, {})[profile] = bits
        for number, reach_by_profile in reach.items():
            accounts[number].set_reach(reach_by_profile)

    # -- saving, in the caller's transaction ----------------------------------

    def note(self, segment: Segment, run: EventRun) -> None:
        """Note that a run, new or from the log, changes the members of a segment."""
        self._runs += 1
        self._unsaved.setdefault(segment.id, (segment, run.seq, self._runs))

    def append_reach(self, account: Account, reach_by_number: Mapping[int, int]) -> None:
        """Append new reach to the journal."""
        self._connection.executemany(
            "INSERT INTO reach_journal (account, profile, reach) VALUES (?, ?, ?)",
            [(account.number, number, reach) for number, reach in reach_by_number.items()],
        )
        self._reach_rows += len(reach_by_number)

    def forget(self, segment: Segment) -> None:
        """Delete the saved members of a segment that was deleted."""
        self._connection.execute("DELETE FROM members WHERE segment = ?", (segment.id,))
        self._unsaved.pop(segment.id, None)

    def save_some(self, accounts: Iterable[Account]) -> None:
        """Save what is unsaved for longest, if a start had too much to replay."""
        if self._reach_rows > REACH_TO_REPLAY:
            self._save_reach(accounts)
        size = 0
        while size < BYTES_PER_STEP and self._is_too_much():
            size += self._save_longest_unsaved()
        if size:
            self._save_position()

    def save_all(self, accounts: Iterable[Account]) -> None:
        """Save everything that is unsaved."""
        if self._reach_rows:
            self._save_reach(accounts)
        while self._unsaved:
            self._save_longest_unsaved()
        self._save_position()

    def _is_too_much(self) -> bool:
        if not self._unsaved:
            return False
        _, event, run = next(iter(self._unsaved.values()))
        return (
            self._log.next_event - event >= self._changes_to_replay
            or self._runs - run >= RUNS_TO_REPLAY
        )

    def _save_longest_unsaved(self) -> int:
        """Save the members of one segment and return their size in bytes."""
        segment, _, _ = self._unsaved.pop(next(iter(self._unsaved)))
        return self.save(segment)

    def save(self, segment: Segment) -> int:
        """Save the members of a segment and return their size in bytes."""
        blob = segment.members.serialize()
        self._connection.execute(
            "INSERT OR REPLACE INTO members VALUES (?, ?, ?)",
            (segment.id, blob, self._log.next_event),
        )
        return len(blob)

    def _save_position(self) -> None:
        event = self._log.next_event
        if self._unsaved:
            _, event, _ = next(iter(self._unsaved.values()))
        self._database.set_meta("replay_from", str(event))

    def _save_reach(self, accounts: Iterable[Account]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO reachable VALUES (?, ?, ?)",
            [
                (account.number, channel, numbers.serialize())
                for account in accounts
                for channel, numbers in account.profiles.reachable.items()
            ],
        )
        self._connection.execute("DELETE FROM reach_journal")
        self._reach_rows = 0


def _replay_merge(
    merge: Merge, accounts: Mapping[int, Account], positions: Mapping[int, int]
) -> None:
    """Merge two members of the segments that were saved before the merge."""
    account = accounts[merge.account]
    for segment in account.segments.values():
        if positions.get(segment.id, 1) <= merge.event:
            replace_member(account, segment, merge.profile, by=merge.survivor)
