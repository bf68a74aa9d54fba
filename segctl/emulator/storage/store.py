"""The store: everything the service knows, in memory and in SQLite.

Each change is one transaction.  If it fails, memory is loaded again from the file, so
that the two always agree.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection

from pyroaring import BitMap

from segctl.emulator.settings import Settings
from segctl.emulator.storage import applies
from segctl.emulator.storage.changes import Change, NewSegment, ProfileRecord
from segctl.emulator.storage.checkpoints import CHANGES_TO_REPLAY, Checkpoints
from segctl.emulator.storage.database import Database, SkippedLine
from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.event_runs import EventRun
from segctl.emulator.storage.former_names import append_former_name, load_former_names
from segctl.emulator.storage.linking import find_or_add_profile, link_users
from segctl.emulator.storage.loading import load_accounts, load_segments
from segctl.emulator.storage.profiles import Keys
from segctl.emulator.storage.state import ADD, Account, LinkedUser, Segment, User
from segctl.emulator.storage.visibility import VisibleMembers


class Store:
    """Accounts with their profiles, segments, events and skipped entries."""

    def __init__(
        self,
        *,
        folder: Path | None,
        passcodes: Mapping[str, str],
        clock: Callable[[], float],
        changes_to_replay: int = CHANGES_TO_REPLAY,
    ) -> None:
        self.database = Database(folder=folder)
        self._clock = clock
        self._changes_to_replay = changes_to_replay
        self._passcodes = dict(passcodes)
        self.operator = next(iter(passcodes), None)
        """The id of the first account given. It may change what concerns all accounts."""
        self._listeners: list[Callable[[], None]] = []
        self.accounts: dict[str, Account] = {}
        self._last_segment_id = 0
        self.generation = 0
        """Changes when all data is deleted: what a reader has read before is gone."""
        self._has_failed = False
        """Whether memory may differ from the file, which could not be read again."""
        with self.database.closed_if_damaged():
            self._load()

    @property
    def next_event(self) -> int:
        """The number of the next event."""
        return self.log.next_event

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

    def create(
        self, account: Account, new_segments: Sequence[NewSegment], *, agent: str | None = None
    ) -> list[Segment]:
        """Create segments. Their ids look like the vendor's: seconds since 1970.

        ``agent`` is the User-Agent of a client's request, None if there is no request.
        """
        now = self._clock()
        with self._transaction() as connection:
            if apply := self._apply_of(account, agent, now):
                applies.count_request(connection, apply, now=now)
            created = []
            for new in new_segments:
                self._last_segment_id = max(self._last_segment_id + 1, int(now))
                segment = Segment(
                    id=self._last_segment_id,
                    customer_id=new.customer_id,
                    name=new.name,
                    created_at=now,
                    category=new.category,
                )
                connection.execute(
                    "INSERT INTO segments (id, account, customer_id, name, created_at, category) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (segment.id, account.number, new.customer_id, new.name, now, new.category),
                )
                account.add_segment(segment)
                created.append(segment)
                if new.members is not None:
                    self._set_members(account, segment, new.members)
        self._notify()
        return created

    def _set_members(self, account: Account, segment: Segment, members: BitMap) -> None:
        """Set and save the members of a new segment, inside a transaction."""
        segment.members = members
        segment.count_reachable(members, account.profiles.reachable, 1)
        self._checkpoints.save(segment)
        self._visible.drop()

    def add_profiles(self, account: Account, users: Sequence[User]) -> list[int]:
        """Return the profile numbers of users; add a profile for those without one."""
        with self._transaction():
            return account.profiles.find_or_add(users)

    def rename(self, account: Account, segment: Segment, name: str) -> None:
        """Rename a segment, as the dashboard does. Earlier events keep the earlier name."""
        with self._transaction() as connection:
            append_former_name(connection, segment, next_event=self.next_event)
            connection.execute(
                "UPDATE segments SET name = ? WHERE id = ? AND account = ?",
                (name, segment.id, account.number),
            )
            segment.name = name
        self._notify()

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
                segment.clear()
                self._checkpoints.forget(segment)
        self._notify()

    def update(
        self,
        account: Account,
        changes: Sequence[Change],
        skipped: Sequence[SkippedLine],
        *,
        settings: Settings,
        agent: str | None = None,
    ) -> None:
        """Apply the changes of one update, and log the entries that it skips.

        ``agent`` is the User-Agent of a client's request, None if there is no request.
        """
        now = self._clock()
        with self._transaction() as connection:
            apply = self._apply_of(account, agent, now)
            if settings.both_ids == "link":
                changes = self._link_ids(account, changes, now=now)
            runs = self._apply(account, changes, settings=settings, now=now, apply=apply)
            self.log.append(runs)
            self.database.append_skipped(skipped, apply=apply)
            self._count(account, runs)
            if apply:
                events = sum(len(run.users) for run in runs)
                count = sum(len(line.users) for line in skipped)
                applies.count_request(connection, apply, now=now, events=events, skipped=count)
            self._checkpoints.save_some(self.accounts.values())
        if settings.visibility_lag_ms:
            # A little with each change, so that no reader has much to catch up.
            self._visible.move(now - settings.visibility_lag_ms / 1000, self.accounts)
        else:
            self._visible.drop()
        self._notify()

    def _apply_of(self, account: Account, agent: str | None, now: float) -> int:
        """Return the number of a client's apply, 0 if there is no request."""
        if agent is None:
            return 0
        return applies.find_or_add_apply(
            self.database.connection, account=account.number, agent=agent, now=now
        )

    def _apply(
        self,
        account: Account,
        changes: Sequence[Change],
        *,
        settings: Settings,
        now: float,
        apply: int,
    ) -> list[EventRun]:
        """Change the members in memory and add the new profiles; return the events."""
        runs: list[EventRun] = []
        next_event = self.next_event
        for change, numbers in self._resolve_users(account, changes, settings=settings):
            changed = change.segment.change(change.action, numbers, account.profiles)
            unchanged: Sequence[int] = ()
            if settings.noop_changes == "event" and len(changed) < len(numbers):
                moved = set(changed)
                unchanged = [number for number in numbers if number not in moved]
            for users, is_changed in ((changed, True), (unchanged, False)):
                if users:
                    run = EventRun(
                        seq=next_event,
                        account=account.number,
                        segment=change.segment.id,
                        action=change.action,
                        changed=is_changed,
                        points=len(users) * settings.data_points_per_event,
                        ts=now,
                        users=tuple(users),
                        apply=apply,
                    )
                    next_event += len(users)
                    self._checkpoints.note(change.segment, run)
                    runs.append(run)
        return runs

    def _link_ids(
        self, account: Account, changes: Sequence[Change], *, now: float
    ) -> Sequence[Change]:
        """Link the two ids of users who have both; return the changes with one id a user."""
        distinct = {id(change.users): change.users for change in changes}
        if not any(isinstance(user, LinkedUser) for users in distinct.values() for user in users):
            return changes
        sent = [(change.users, change.action == ADD) for change in changes]
        single, new_reach = link_users(account, sent, log=self.log, now=now)
        self._checkpoints.append_reach(account, new_reach)
        self._visible.drop()
        return [replace(change, users=single[id(change.users)]) for change in changes]

    def _resolve_users(
        self, account: Account, changes: Sequence[Change], *, settings: Settings
    ) -> list[tuple[Change, Sequence[int]]]:
        """Return each change with the numbers of its users; add profiles for unknown users.

        Users who are only removed get a profile only if the switch says so.
        """
        # The lines of one entry share one tuple of users, which is looked up only once.
        adding = {id(change.users) for change in changes if change.action == ADD}
        distinct = {id(change.users): change.users for change in changes}
        known = account.profiles.find_many({user for users in distinct.values() for user in users})
        new: list[Keys] = []
        numbers: dict[int, Sequence[int]] = {}
        for key, users in distinct.items():
            if key in adding or settings.remove_unknown_user == "create_profile":
                for user in users:
                    if user not in known:
                        known[user] = account.profiles.next_number + len(new)
                        is_identity = user.kind == "identity"
                        new.append((user.value, None) if is_identity else (None, user.value))
            numbers[key] = [known[user] for user in users if user in known]
        account.profiles.add_many(new)
        return [(change, numbers[id(change.users)]) for change in changes]

    def save_profiles(
        self,
        account: Account,
        records: Sequence[ProfileRecord],
        *,
        points_per_field: int,
    ) -> None:
        """Create or change profiles."""
        with self._transaction() as connection:
            reach_by_number: dict[int, int] = {}
            for record in records:
                number = find_or_add_profile(
                    account.profiles, identity=record.identity, guid=record.guid
                )
                fields = account.profiles.fields(number) | record.fields
                reach_by_number[number] = account.profiles.set_fields(number, fields)
                account.profile_points += len(record.fields) * points_per_field
            account.set_reach(reach_by_number)
            self._checkpoints.append_reach(account, reach_by_number)
            self._checkpoints.save_some(self.accounts.values())
            connection.execute(
                "UPDATE accounts SET profile_points = ? WHERE number = ?",
                (account.profile_points, account.number),
            )
        self._notify()

    def reset(self) -> None:
        """Delete all segments, profiles, events and skipped entries."""
        self.database.clear()
        self.generation += 1
        self._load()
        self._notify()

    def checkpoint(self) -> None:
        """Save all members, so that a start reads nothing of the log."""
        with self._transaction():
            self._checkpoints.save_all(self.accounts.values())

    def close(self) -> None:
        """Save the members and close the file. A second call does nothing."""
        if not self.database.is_closed:
            try:
                self.checkpoint()
            except sqlite3.Error:
                # Nothing is lost: all changes are in the log, which the next start reads.
                self.database.distrust()
            self.database.close()

    # -- reads ----------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change."""
        self._listeners.append(listener)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    def members_at(
        self, account: Account, segment: Segment, until: float | None
    ) -> tuple[BitMap, dict[str, int]]:
        """Return members and reachable users as they were at the time ``until`` (None: now)."""
        if until is None:
            return segment.members, segment.reachable
        self._visible.move(until, self.accounts)
        members = self._visible.of(segment)
        return members, {
            channel: members.intersection_cardinality(reachable)
            for channel, reachable in account.profiles.reachable.items()
        }

    # -- the file -------------------------------------------------------------

    def _load_accounts(self) -> None:
        load_accounts(
            self.database.connection, self.accounts, self._passcodes, merges=self.log.merges
        )

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self.database.transaction() as connection:
                yield connection
        except BaseException:
            self._has_failed = True
            self.reload_if_failed()
            raise

    def reload_if_failed(self) -> None:
        """Load everything again if the last try failed; raises sqlite3.Error if it cannot."""
        if self._has_failed:
            self._load()
            self._has_failed = False

    def _load(self) -> None:
        self.accounts = {}
        self.log = EventLog(self.database.connection)
        self._visible = VisibleMembers(self.log)
        self._checkpoints = Checkpoints(
            self.database, self.log, changes_to_replay=self._changes_to_replay
        )
        self._load_accounts()
        by_number = self.accounts_by_number()
        self._last_segment_id = load_segments(self.database.connection, by_number)
        load_former_names(self.database.connection, self.accounts.values())
        self._checkpoints.load(by_number)

    def _count(self, account: Account, runs: Sequence[EventRun]) -> None:
        """Add new events to the figures of their account."""
        if not runs:
            return
        account.events += sum(len(run.users) for run in runs)
        account.event_points += sum(run.points for run in runs)
        account.membership_changes += sum(len(run.users) for run in runs if run.changed)
        self.database.connection.execute(
            "UPDATE accounts SET changes = ?, events = ?, event_points = ? WHERE number = ?",
            (account.membership_changes, account.events, account.event_points, account.number),
        )
