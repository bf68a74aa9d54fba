"""The store: everything the service knows, in memory and in SQLite.

Each change is one transaction.  If it fails, memory is loaded again from the file, so
that the two always agree.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from pyroaring import BitMap

from segctl.emulator.settings import Settings
from segctl.emulator.storage.database import Database, EventRun, SkippedLine
from segctl.emulator.storage.state import ADD, REMOVE, Account, Profiles, Segment, User

CHECKPOINT_EVERY = 2_000_000
"""Membership changes between two saves of the members."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Users to add to, or remove from, one segment."""

    segment: Segment
    action: str
    users: tuple[User, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSegment:
    """A segment to create."""

    name: str
    customer_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileRecord:
    """A profile to create or change: its keys and the fields to set."""

    identity: str | None
    guid: str | None
    fields: dict[str, Any]


class Store:
    """Accounts with their profiles, segments, events and skipped entries."""

    def __init__(
        self,
        *,
        folder: Path | None,
        passcodes: Mapping[str, str],
        clock: Callable[[], float],
        checkpoint_every: int = CHECKPOINT_EVERY,
    ) -> None:
        self.database = Database(folder=folder)
        self._clock = clock
        self._checkpoint_every = checkpoint_every
        self._passcodes = dict(passcodes)
        self._listeners: list[Callable[[], None]] = []
        self.accounts: dict[str, Account] = {}
        self.next_event = 1
        self._last_segment_id = 0
        self._unsaved_changes = 0
        self._load()

    # -- accounts -------------------------------------------------------------

    def add_account(self, name: str, passcode: str) -> Account:
        """Add an account, or set the passcode of one that has none, durably."""
        self.database.connection.execute(
            "INSERT INTO accounts (id, passcode) VALUES (?, ?) "
            "ON CONFLICT (id) DO UPDATE SET passcode = excluded.passcode",
            (name, passcode),
        )
        self._load_accounts()
        return self.accounts[name]

    def accounts_by_number(self) -> dict[int, Account]:
        """Return the accounts by the number that identifies them in the database."""
        return {account.number: account for account in self.accounts.values()}

    def find_segment(self, segment_id: int) -> tuple[Account, Segment] | None:
        """Return the segment with this CleverTap id, which is unique over all accounts."""
        for account in self.accounts.values():
            if segment_id in account.segments:
                return account, account.segments[segment_id]
        return None

    # -- changes --------------------------------------------------------------

    def create(self, account: Account, new_segments: Sequence[NewSegment]) -> list[Segment]:
        """Create segments. Their ids look like the vendor's: seconds since 1970."""
        now = self._clock()
        with self._transaction() as connection:
            created = []
            for new in new_segments:
                self._last_segment_id = max(self._last_segment_id + 1, int(now))
                segment = Segment(
                    id=self._last_segment_id,
                    customer_id=new.customer_id,
                    name=new.name,
                    created_at=now,
                )
                connection.execute(
                    "INSERT INTO segments VALUES (?, ?, ?, ?, ?, NULL)",
                    (segment.id, account.number, segment.customer_id, segment.name, now),
                )
                account.add_segment(segment)
                created.append(segment)
        self._notify()
        return created

    def delete(self, account: Account, segments: Sequence[Segment]) -> None:
        """Delete segments as the dashboard does: remove their members, keep their ids."""
        now = self._clock()
        with self._transaction() as connection:
            for segment in segments:
                connection.execute(
                    "UPDATE segments SET deleted_at = ? WHERE id = ? AND account = ?",
                    (now, segment.id, account.number),
                )
                segment.deleted_at = now
                segment.members = BitMap()
                segment.reachable = dict.fromkeys(segment.reachable, 0)
                segment.is_dirty = True
        self._notify()

    def update(
        self,
        account: Account,
        changes: Sequence[Change],
        skipped: Sequence[SkippedLine],
        *,
        settings: Settings,
    ) -> None:
        """Apply the changes of one update, and log the entries that it skips."""
        with self._transaction() as connection:
            first_new = len(account.profiles)
            runs = list(self._apply(account, changes, settings=settings))
            connection.executemany(
                "INSERT INTO profiles (account, number, identity, guid) VALUES (?, ?, ?, ?)",
                [
                    (account.number, number, *account.profiles.keys[number])
                    for number in range(first_new, len(account.profiles))
                ],
            )
            self.database.append_runs(runs)
            self.database.append_skipped(skipped)
        if self._unsaved_changes >= self._checkpoint_every:
            self.checkpoint()
        self._notify()

    def _apply(
        self, account: Account, changes: Sequence[Change], *, settings: Settings
    ) -> Iterator[EventRun]:
        """Change the members in memory; yield the events."""
        now = self._clock()
        # The lines of one entry share one tuple of users, which is looked up only once.
        adding = {id(change.users) for change in changes if change.action == ADD}
        numbers_by_users: dict[int, list[int]] = {}
        for change in changes:
            key = id(change.users)
            numbers = numbers_by_users.get(key)
            if numbers is None:
                create = key in adding or settings.remove_unknown_user == "create_profile"
                numbers = _find_profiles(account.profiles, change.users, create=create)
                numbers_by_users[key] = numbers
            changed = change.segment.change(change.action, numbers, account.profiles)
            unchanged: Sequence[int] = ()
            if settings.noop_changes == "event" and len(changed) < len(numbers):
                moved = set(changed)
                unchanged = [number for number in numbers if number not in moved]
            for users, is_changed in ((changed, True), (unchanged, False)):
                if users:
                    run = EventRun(
                        seq=self.next_event,
                        account=account.number,
                        segment=change.segment.id,
                        action=change.action,
                        changed=is_changed,
                        points=len(users) * settings.data_points_per_event,
                        ts=now,
                        users=tuple(users),
                    )
                    self._count(account, run)
                    yield run

    def save_profiles(
        self,
        account: Account,
        records: Sequence[ProfileRecord],
        *,
        reach_of: Callable[[dict[str, Any]], int],
        points_per_field: int,
    ) -> None:
        """Create or change profiles.

        ``reach_of`` returns the channels, as bits, of a profile with these fields.
        """
        with self._transaction() as connection:
            for record in records:
                number = _find_or_add_profile(account.profiles, record)
                fields = self.profile_fields(account, number) | record.fields
                reach = reach_of(fields)
                keys = account.profiles.keys[number]
                connection.execute(
                    "INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?, ?)",
                    (account.number, number, *keys, reach, json.dumps(fields)),
                )
                account.set_reach(number, reach)
                account.profile_points += len(record.fields) * points_per_field
            connection.execute(
                "UPDATE accounts SET profile_points = ? WHERE number = ?",
                (account.profile_points, account.number),
            )
        self._notify()

    def reset(self) -> None:
        """Delete all segments, profiles, events and skipped entries."""
        self.database.clear()
        self._load()
        self._notify()

    def checkpoint(self) -> None:
        """Save the members, so that a start reads only the later part of the log."""
        with self._transaction() as connection:
            for account in self.accounts.values():
                for segment in account.segments.values():
                    if segment.is_dirty:
                        connection.execute(
                            "INSERT OR REPLACE INTO members VALUES (?, ?)",
                            (segment.id, segment.members.serialize()),
                        )
                        segment.is_dirty = False
            figures = {
                account.id: [account.membership_changes, account.events, account.event_points]
                for account in self.accounts.values()
            }
            self.database.set_meta(
                "checkpoint", json.dumps({"event": self.next_event, "figures": figures})
            )
        self._unsaved_changes = 0

    def close(self) -> None:
        """Save the members and close the file. A second call does nothing."""
        if not self.database.is_closed:
            self.checkpoint()
            self.database.close()

    # -- reads ----------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change."""
        self._listeners.append(listener)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    def profile_fields(self, account: Account, number: int) -> dict[str, Any]:
        """Return the uploaded fields of a profile."""
        row = self.database.connection.execute(
            "SELECT data FROM profiles WHERE account = ? AND number = ?", (account.number, number)
        ).fetchone()
        return json.loads(row[0]) if row and row[0] else {}

    def members_at(
        self, account: Account, segment: Segment, until: float | None
    ) -> tuple[BitMap, dict[str, int]]:
        """Return members and reachable users as they were at the time ``until`` (None: now)."""
        if until is None:
            return segment.members, segment.reachable
        past = Segment(id=0, customer_id=None, name="", created_at=0)
        past.members = segment.members.copy()
        past.reachable = dict(segment.reachable)
        for run in self.database.read_runs_backwards():
            if run.ts <= until:
                break
            if run.segment == segment.id and run.changed:
                past.change(REMOVE if run.action == ADD else ADD, run.users, account.profiles)
        return past.members, past.reachable

    # -- the file -------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self.database.transaction() as connection:
                yield connection
        except BaseException:
            self._load()
            raise

    def _load(self) -> None:
        self.accounts = {}
        self._last_segment_id = 0
        self._unsaved_changes = 0
        self._load_accounts()
        by_number = self.accounts_by_number()
        execute = self.database.connection.execute
        for number, identity, guid, reach in execute(
            "SELECT account, identity, guid, reach FROM profiles ORDER BY account, number"
        ):
            by_number[number].profiles.add(identity=identity, guid=guid, reach=reach)
        for segment_id, number, customer_id, name, created_at, deleted_at in execute(
            "SELECT id, account, customer_id, name, created_at, deleted_at FROM segments "
            "ORDER BY id"
        ):
            by_number[number].add_segment(
                Segment(
                    id=segment_id,
                    customer_id=customer_id,
                    name=name,
                    created_at=created_at,
                    deleted_at=deleted_at,
                )
            )
            self._last_segment_id = segment_id
        self._load_members(by_number)

    def _load_accounts(self) -> None:
        execute = self.database.connection.execute
        for name in self._passcodes:
            execute("INSERT OR IGNORE INTO accounts (id) VALUES (?)", (name,))
        rows = execute("SELECT number, id, passcode, profile_points FROM accounts")
        for number, name, passcode, points in rows:
            if name not in self.accounts:
                self.accounts[name] = Account(
                    number=number, id=name, passcode=None, profiles=Profiles(account=name)
                )
            self.accounts[name].passcode = self._passcodes.get(name, passcode)
            self.accounts[name].profile_points = points

    def _load_members(self, by_number: Mapping[int, Account]) -> None:
        saved = json.loads(self.database.get_meta("checkpoint") or '{"event": 1, "figures": {}}')
        self.next_event = saved["event"]
        for name, (changes, events, points) in saved["figures"].items():
            account = self.accounts[name]
            account.membership_changes = changes
            account.events = events
            account.event_points = points
        bitmaps = dict(self.database.connection.execute("SELECT segment, bitmap FROM members"))
        for account in by_number.values():
            account.restore_members(bitmaps)
        for run in self.database.read_runs(start=self.next_event):
            if run.seq >= self.next_event:
                account = by_number[run.account]
                segment = account.segments[run.segment]
                self._count(account, run)
                if run.changed and not segment.is_deleted:
                    segment.change(run.action, run.users, account.profiles)

    def _count(self, account: Account, run: EventRun) -> None:
        """Add a new run, or one from the log, to the figures of its account."""
        count = len(run.users)
        self.next_event = run.seq + count
        account.events += count
        account.event_points += run.points
        if run.changed:
            account.membership_changes += count
            self._unsaved_changes += count


def _find_profiles(profiles: Profiles, users: Sequence[User], *, create: bool) -> list[int]:
    """Return the profile numbers of the users; create or leave out those that are unknown."""
    numbers = []
    for user in users:
        number = profiles.find(user)
        if number is None and create:
            is_identity = user.kind == "identity"
            number = profiles.add(
                identity=user.value if is_identity else None,
                guid=None if is_identity else user.value,
            )
        if number is not None:
            numbers.append(number)
    return numbers


def _find_or_add_profile(profiles: Profiles, record: ProfileRecord) -> int:
    for user in (User("identity", record.identity or ""), User("guid", record.guid or "")):
        number = profiles.find(user) if user.value else None
        if number is not None:
            profiles.set_missing_keys(number, identity=record.identity, guid=record.guid)
            return number
    return profiles.add(identity=record.identity, guid=record.guid)
