"""The store: everything the service knows, live in memory and durable in SQLite.

Each change is one transaction.  If writing it fails, memory is read anew from the
file, so that the two never tell different stories.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segctl.emulator.bitmap import Bitmap
from segctl.emulator.database import Database, Refusal, Run
from segctl.emulator.state import ADD, REMOVE, Account, Profiles, Segment, User

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
class UpdateRules:
    """What the settings say about an update that is carried out."""

    points_per_event: int
    noop_events: bool
    profile_on_remove: bool


class Store:
    """Accounts with their profiles, segments, events and refused entries."""

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
        self.last_segment = 0
        self.next_event = 1
        self._unsaved = 0
        self._load()

    # -- accounts -------------------------------------------------------------

    def account(self, name: str) -> Account | None:
        """Return the account of that id, if it may be used."""
        account = self.accounts.get(name)
        return account if account is not None and account.passcode is not None else None

    def adopt(self, name: str, passcode: str) -> Account:
        """Take on an account, durably, with the passcode it came with."""
        with self._change() as connection:
            connection.execute(
                "INSERT INTO accounts (id, passcode) VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET passcode = excluded.passcode",
                (name, passcode),
            )
        self._load_accounts()
        return self.accounts[name]

    def segment(self, number: int) -> tuple[Account, Segment] | None:
        """Find a segment by its CleverTap id, which no two accounts share."""
        for account in self.accounts.values():
            if number in account.segments:
                return account, account.segments[number]
        return None

    # -- changes --------------------------------------------------------------

    def create(self, account: Account, wanted: Sequence[NewSegment]) -> list[Segment]:
        """Make segments; their ids look like the vendor's, seconds since 1970."""
        now = self._clock()
        with self._change() as connection:
            made = []
            for new in wanted:
                self.last_segment = max(self.last_segment + 1, int(now))
                made.append(
                    Segment(
                        id=self.last_segment,
                        customer_id=new.customer_id,
                        name=new.name,
                        created_at=now,
                    )
                )
            connection.executemany(
                "INSERT INTO segments VALUES (?, ?, ?, ?, ?, NULL)",
                [(each.id, account.number, each.customer_id, each.name, now) for each in made],
            )
            for segment in made:
                account.add_segment(segment)
        self._tell()
        return made

    def delete(self, account: Account, segments: Sequence[Segment]) -> None:
        """Do what the dashboard's delete does: the members go, the ids stay known."""
        now = self._clock()
        with self._change() as connection:
            for segment in segments:
                connection.execute(
                    "UPDATE segments SET deleted_at = ? WHERE id = ? AND account = ?",
                    (now, segment.id, account.number),
                )
                segment.deleted_at = now
                segment.members = Bitmap()
                segment.reachable = dict.fromkeys(segment.reachable, 0)
                segment.dirty = True
        self._tell()

    def apply(
        self,
        account: Account,
        changes: Sequence[Change],
        refusals: Sequence[Refusal],
        *,
        rules: UpdateRules,
    ) -> None:
        """Carry out the valid entries of one update and log the others."""
        now = self._clock()
        with self._change() as connection:
            numbers: dict[int, list[int]] = {}
            runs: list[Run] = []
            adding = {id(change.users) for change in changes if change.action == ADD}
            before = len(account.profiles)
            for change in changes:
                # Lines of one entry share one tuple of users: it is looked up once.
                key = id(change.users)
                if key not in numbers:
                    make = rules.profile_on_remove or key in adding
                    numbers[key] = self._numbers(account.profiles, change.users, make=make)
                for changed, users in self._move(account, change, numbers[key], rules=rules):
                    run = Run(
                        seq=self.next_event,
                        account=account.number,
                        segment=change.segment.id,
                        action=change.action,
                        changed=changed,
                        points=len(users) * rules.points_per_event,
                        ts=now,
                        users=tuple(users),
                    )
                    self._count(account, run)
                    runs.append(run)
            connection.executemany(
                "INSERT INTO profiles (account, number, identity, guid) VALUES (?, ?, ?, ?)",
                [
                    (account.number, number, *account.profiles.names[number])
                    for number in range(before, len(account.profiles))
                ],
            )
            self.database.add_runs(runs)
            connection.executemany(
                "INSERT INTO refusals (account, ts, type, segment, customer_id, users) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        each.account,
                        each.ts,
                        each.type,
                        each.segment,
                        each.customer_id,
                        json.dumps(each.users),
                    )
                    for each in refusals
                ],
            )
        if self._unsaved >= self._checkpoint_every:
            self.checkpoint()
        self._tell()

    def save_profiles(
        self,
        account: Account,
        records: Sequence[tuple[str | None, str | None, dict[str, Any]]],
        *,
        reach_of: Callable[[dict[str, Any]], int],
        points_per_field: int,
    ) -> None:
        """Make or change profiles: identity, guid, and the fields to set on each."""
        with self._change() as connection:
            for identity, guid, fields in records:
                number = self._profile_of(account.profiles, identity=identity, guid=guid)
                row = connection.execute(
                    "SELECT data FROM profiles WHERE account = ? AND number = ?",
                    (account.number, number),
                ).fetchone()
                data = (json.loads(row[0]) if row and row[0] else {}) | fields
                reach = reach_of(data)
                connection.execute(
                    "INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        account.number,
                        number,
                        *account.profiles.names[number],
                        reach,
                        json.dumps(data),
                    ),
                )
                account.set_reach(number, reach)
                account.profile_points += len(fields) * points_per_field
            connection.execute(
                "UPDATE accounts SET profile_points = ? WHERE number = ?",
                (account.profile_points, account.number),
            )
        self._tell()

    @staticmethod
    def _profile_of(profiles: Profiles, *, identity: str | None, guid: str | None) -> int:
        for user in (User("identity", identity or ""), User("guid", guid or "")):
            number = profiles.find(user) if user.value else None
            if number is not None:
                profiles.rename(number, identity=identity, guid=guid)
                return number
        return profiles.add(identity=identity, guid=guid)

    @staticmethod
    def _move(
        account: Account, change: Change, users: list[int], *, rules: UpdateRules
    ) -> Iterator[tuple[bool, list[int]]]:
        """Change the members; give the users that raise events, changed and not."""
        changed = change.segment.change(change.action, users, account.profiles)
        if changed:
            yield True, changed
        if rules.noop_events and len(changed) < len(users):
            moved = set(changed)
            yield False, [number for number in users if number not in moved]

    def _count(self, account: Account, run: Run) -> None:
        """Keep the figures true for a run that is new, or read from the log."""
        count = len(run.users)
        self.next_event = run.seq + count
        account.events += count
        account.event_points += run.points
        if run.changed:
            account.membership_changes += count
            self._unsaved += count

    @staticmethod
    def _numbers(profiles: Profiles, users: Sequence[User], *, make: bool) -> list[int]:
        found = []
        for user in users:
            number = profiles.find(user)
            if number is None and make:
                is_identity = user.kind == "identity"
                number = profiles.add(
                    identity=user.value if is_identity else None,
                    guid=None if is_identity else user.value,
                )
            if number is not None:
                found.append(number)
        return found

    def reset(self) -> None:
        """Empty again: no segment, profile, event or refused entry."""
        self.database.clear()
        self._load()
        self._tell()

    def checkpoint(self) -> None:
        """Save the members, so that a start needs to read only what came later."""
        with self._change() as connection:
            for account in self.accounts.values():
                for segment in account.segments.values():
                    if segment.dirty:
                        connection.execute(
                            "INSERT OR REPLACE INTO members VALUES (?, ?)",
                            (segment.id, bytes(segment.members)),
                        )
                        segment.dirty = False
            figures = {
                account.id: [account.membership_changes, account.events, account.event_points]
                for account in self.accounts.values()
            }
            self.database.note(
                "checkpoint", json.dumps({"event": self.next_event, "figures": figures})
            )
        self._unsaved = 0

    def close(self) -> None:
        """Save and give up the data folder; a second call does nothing."""
        if not self.database.closed:
            self.checkpoint()
            self.database.close()

    # -- reads ----------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change."""
        self._listeners.append(listener)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def seen(
        self, account: Account, segment: Segment, *, until: float | None
    ) -> tuple[Bitmap, dict[str, int]]:
        """Return members and reachable users, as they were at ``until`` (None: now)."""
        if until is None:
            return segment.members, segment.reachable
        then = Segment(id=0, customer_id=None, name="", created_at=0)
        then.members = segment.members.copy()
        then.reachable = dict(segment.reachable)
        for run in self.database.runs(backwards=True):
            if run.ts <= until:
                break
            if run.segment == segment.id and run.changed:
                undo = REMOVE if run.action == ADD else ADD
                then.change(undo, run.users, account.profiles)
        return then.members, then.reachable

    # -- the file -------------------------------------------------------------

    @contextmanager
    def _change(self) -> Iterator[Any]:
        try:
            with self.database.transaction() as connection:
                yield connection
        except BaseException:
            self._load()
            raise

    def _load(self) -> None:
        self.accounts = {}
        self.last_segment = 0
        self._unsaved = 0
        self._load_accounts()
        by_number = {account.number: account for account in self.accounts.values()}
        run = self.database.connection.execute
        for number, identity, guid, reach in run(
            "SELECT account, identity, guid, reach FROM profiles ORDER BY account, number"
        ):
            by_number[number].profiles.add(identity=identity, guid=guid, reach=reach)
        for id_, number, customer_id, name, created_at, deleted_at in run(
            "SELECT id, account, customer_id, name, created_at, deleted_at FROM segments "
            "ORDER BY id"
        ):
            by_number[number].add_segment(
                Segment(
                    id=id_,
                    customer_id=customer_id,
                    name=name,
                    created_at=created_at,
                    deleted_at=deleted_at,
                )
            )
            self.last_segment = id_
        self._load_members(by_number)

    def _load_accounts(self) -> None:
        run = self.database.connection.execute
        for name in self._passcodes:
            run("INSERT OR IGNORE INTO accounts (id) VALUES (?)", (name,))
        rows = run("SELECT number, id, passcode, profile_points FROM accounts")
        for number, name, passcode, points in rows:
            if name not in self.accounts:
                self.accounts[name] = Account(
                    number=number, id=name, passcode=None, profiles=Profiles(account=name)
                )
            self.accounts[name].passcode = self._passcodes.get(name, passcode)
            self.accounts[name].profile_points = points

    def _load_members(self, by_number: Mapping[int, Account]) -> None:
        saved = json.loads(self.database.noted("checkpoint") or '{"event": 1, "figures": {}}')
        self.next_event = saved["event"]
        for name, (changes, events, points) in saved["figures"].items():
            account = self.accounts[name]
            account.membership_changes = changes
            account.events = events
            account.event_points = points
        bits = dict(self.database.connection.execute("SELECT segment, bits FROM members"))
        for account in by_number.values():
            account.take_members(bits)
        for run in self.database.runs(start=self.next_event):
            if run.seq >= self.next_event:
                account = by_number[run.account]
                segment = account.segments[run.segment]
                self._count(account, run)
                if run.changed and not segment.deleted:
                    segment.change(run.action, run.users, account.profiles)
