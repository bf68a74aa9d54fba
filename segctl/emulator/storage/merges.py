"""Profiles that were merged into another one, because both are the same person.

A merge is kept with its position in the log of membership events.  The log itself is
not changed: a reader gets the profile that is left in place of those merged into it,
and a start replays events and merges in their order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from sqlite3 import Connection

from pyroaring import BitMap

SCHEMA = """
CREATE TABLE IF NOT EXISTS merges (
    number INTEGER PRIMARY KEY, account INTEGER NOT NULL, profile INTEGER NOT NULL,
    survivor INTEGER NOT NULL, event INTEGER NOT NULL, ts REAL NOT NULL);
CREATE TABLE IF NOT EXISTS merge_losses (
    segment INTEGER NOT NULL, minute INTEGER NOT NULL, members INTEGER NOT NULL,
    PRIMARY KEY (segment, minute)) WITHOUT ROWID;
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """A profile was merged into another, before the event with the number ``event``."""

    account: int
    profile: int
    survivor: int
    event: int


class Merges:
    """The merges of all accounts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._survivors: dict[int, dict[int, int]] = {}
        self._merged: dict[int, dict[int, list[int]]] = {}
        """By account and survivor: the profiles merged into it."""
        for merge in self.in_order():
            self._note(merge)

    def in_order(self) -> Iterator[Merge]:
        """Yield all merges, the oldest first."""
        for account, profile, survivor, event in self._connection.execute(
            "SELECT account, profile, survivor, event FROM merges ORDER BY number"
        ):
            yield Merge(account=account, profile=profile, survivor=survivor, event=event)

    def last_after(self, first: int) -> dict[tuple[int, int], int]:
        """Return the last merge of each profile that is left, of those after event ``first``.

        The keys are account and profile, the values the number of the event after the merge.
        """
        last: dict[tuple[int, int], int] = {}
        for account, profile, event in self._connection.execute(
            "SELECT account, profile, event FROM merges ORDER BY number DESC"
        ):
            if event <= first:
                break
            last.setdefault((account, self.survivors(account)[profile]), event)
        return last

    def survivors(self, account: int) -> dict[int, int]:
        """Return the profile that is left, by each profile that was merged; it is kept current."""
        return self._survivors.setdefault(account, {})

    def numbers_of(self, account: int, profile: int) -> list[int]:
        """Return the number of a profile and those of the profiles merged into it."""
        return [profile, *self._merged.get(account, {}).get(profile, ())]

    def involved(self, account: int) -> BitMap:
        """Return the profiles that were merged, and those that are left of them."""
        return BitMap(self.survivors(account)) | BitMap(self._merged.get(account, {}))

    def same_as(self, account: int, profile: int) -> BitMap:
        """Return all profiles that are one with this one, itself included."""
        return BitMap(self.numbers_of(account, self.survivors(account).get(profile, profile)))

    def replace_merged(self, account: int | None, profiles: BitMap) -> BitMap:
        """Return the profiles with the one that is left in place of those merged into it."""
        survivors = {} if account is None else self.survivors(account)
        if not survivors:
            return profiles
        merged = profiles & BitMap(survivors)
        return (profiles - merged) | BitMap([survivors[number] for number in merged])

    def without_doubles(self, account: int, profiles: BitMap) -> BitMap:
        """Return the profiles with the first alone of those that became one.

        Each keeps its number, so that a reader goes on where it was when profiles were merged.
        """
        survivors = self.survivors(account)
        merged = profiles & BitMap(survivors)
        left = BitMap([survivors[number] for number in merged])
        first: dict[int, int] = {}
        for number in merged | (left & profiles):
            first.setdefault(survivors.get(number, number), number)
        return (profiles - merged - left) | BitMap(first.values())

    def losses(self, segment: int) -> Iterator[tuple[int, int]]:
        """Yield the minutes, and how many members the segment lost by merges in each."""
        yield from self._connection.execute(
            "SELECT minute, members FROM merge_losses WHERE segment = ?", (segment,)
        )

    def add(self, merge: Merge, *, ts: float) -> None:
        """Add a merge, in the caller's transaction."""
        self._connection.execute(
            "INSERT INTO merges (account, profile, survivor, event, ts) VALUES (?, ?, ?, ?, ?)",
            (merge.account, merge.profile, merge.survivor, merge.event, ts),
        )
        self._note(merge)

    def add_loss(self, segment: int, *, ts: float) -> None:
        """Count that two members of a segment became one, in the caller's transaction."""
        self._connection.execute(
            "INSERT INTO merge_losses VALUES (?, ?, 1) "
            "ON CONFLICT DO UPDATE SET members = members + 1",
            (segment, int(ts / 60)),
        )

    def _note(self, merge: Merge) -> None:
        by_survivor = self._merged.setdefault(merge.account, {})
        merged = [merge.profile, *by_survivor.pop(merge.profile, ())]
        self.survivors(merge.account).update(dict.fromkeys(merged, merge.survivor))
        by_survivor.setdefault(merge.survivor, []).extend(merged)
