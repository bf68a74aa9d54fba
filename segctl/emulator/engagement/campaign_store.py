"""Campaigns, triggers and attempts in SQLite.

Campaigns are in memory too, as they are few.  Triggers and attempts are not: there is
one trigger for each qualifying event.  A trigger is stored in the transaction that moves
its campaign's position in the event log, so that none is lost and none is made twice.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from pyroaring import BitMap

from segctl.emulator.engagement.campaign import (
    DRAFT,
    FAILED,
    RUNNING,
    Attempt,
    Campaign,
    Definition,
    Trigger,
)
from segctl.emulator.engagement.tables import CONTRADICTIONS, LARGE_CHECKS, SCHEMA
from segctl.emulator.storage.damage import (
    check_columns,
    check_rows,
    damage_reported,
    damaged,
)
from segctl.emulator.storage.database import Database
from segctl.emulator.storage.event_runs import pack_numbers, unpack_numbers

TRIGGER_COLUMNS = tuple(each.name for each in fields(Trigger))
ROWS_PER_PIECE = 500
"""Rows read or deleted at once: some milliseconds of work."""


class NewTrigger(NamedTuple):
    """A trigger to store, in the order of its columns."""

    campaign: int
    event: int | None
    action: str | None
    segment: int | None
    ts: float
    due: float
    status: str
    users: tuple[int, ...]


class CampaignStore:
    """All campaigns of a service. Its changes are made inside ``transaction``."""

    def __init__(self, database: Database, *, announce: Callable[[], None]) -> None:
        """Open the tables; ``announce`` is called after every transaction."""
        self._database = database
        self._announce = announce
        self._execute = database.connection.execute
        database.connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        self.campaigns: dict[int, Campaign] = {}
        self._last_id = 0
        self._uses: dict[int, list[Campaign]] | None = None
        with damage_reported(database.file):
            if database.file is not None and database.is_suspect:
                check_columns(database.connection, database.file, SCHEMA)
                check_rows(
                    database.connection,
                    database.file,
                    CONTRADICTIONS,
                    large=LARGE_CHECKS,
                    check_users=partial(_check_users, database.connection, database.file),
                )
            self._load()

    def _load(self) -> None:
        names = [each.name for each in fields(Campaign)]
        self.campaigns.clear()
        self._uses = None
        for row in self._execute(f"SELECT {', '.join(names)} FROM campaigns ORDER BY id"):  # noqa: S608 - our own names
            values = dict(zip(names, row, strict=True))
            values["definition"] = Definition.from_stored(json.loads(values["definition"]))
            self.campaigns[values["id"]] = Campaign(**values)
            self._last_id = max(self._last_id, values["id"])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does; if it raises, undo all of it, in memory too."""
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self._load()
            raise
        self._announce()

    # -- campaigns --------------------------------------------------------------

    @property
    def in_use(self) -> list[Campaign]:
        """The campaigns that are scheduled or running."""
        return [each for each in self.campaigns.values() if each.is_in_use]

    def running(self) -> list[Campaign]:
        """Return the campaigns that are running."""
        return [each for each in self.campaigns.values() if each.status == RUNNING]

    def used_by(self, segment: int) -> Sequence[Campaign]:
        """Return the scheduled and running campaigns that use a segment."""
        if self._uses is None:
            self._uses = {}
            for campaign in self.in_use:
                for each in campaign.definition.segments:
                    self._uses.setdefault(each, []).append(campaign)
        return self._uses.get(segment, ())

    def add(self, *, account: int, definition: Definition, now: float) -> Campaign:
        """Store a new draft. Its id looks like the vendor's: seconds since 1970.

        No id is used again, even if all campaigns were deleted meanwhile.
        """
        self._last_id = max(int(now), self._last_id + 1)
        campaign = Campaign(
            id=self._last_id,
            account=account,
            definition=definition,
            status=DRAFT,
            created_at=now,
        )
        self._execute(
            "INSERT INTO campaigns (id, account, definition, status, created_at) "
            "VALUES (?, ?, ?, ?, ?)",
            (campaign.id, account, json.dumps(definition.stored()), campaign.status, now),
        )
        self._remember(campaign)
        return campaign

    def change(self, campaign: Campaign, **values: Any) -> Campaign:
        """Store new values of a campaign's columns; return the changed campaign."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self._execute(
            f"UPDATE campaigns SET {columns} WHERE id = ?",  # noqa: S608 - our own names
            (*values.values(), campaign.id),
        )
        changed = replace(campaign, **values)
        self._remember(changed)
        return changed

    def save_audience(self, campaign: Campaign, audience: BitMap) -> None:
        """Store the profile numbers of an offline campaign's audience."""
        self._execute(
            "INSERT OR REPLACE INTO campaign_audiences VALUES (?, ?)",
            (campaign.id, audience.serialize()),
        )

    def read_audience(self, campaign: Campaign) -> BitMap:
        """Return the profile numbers of an offline campaign's audience."""
        row = self._execute(
            "SELECT bitmap FROM campaign_audiences WHERE campaign = ?", (campaign.id,)
        ).fetchone()
        return BitMap() if row is None else BitMap.deserialize(row[0])

    def delete(self, campaign: Campaign) -> Iterator[None]:
        """Delete a campaign in pieces, each a transaction: triggers first, itself last."""
        while ids := self._execute(
            "SELECT id FROM campaign_triggers WHERE campaign = ? LIMIT ?",
            (campaign.id, ROWS_PER_PIECE),
        ).fetchall():
            with self._database.transaction() as connection:
                connection.executemany("DELETE FROM trigger_attempts WHERE trigger_id = ?", ids)
                connection.executemany("DELETE FROM campaign_triggers WHERE id = ?", ids)
            yield
        while self._execute(
            "DELETE FROM journey_users WHERE campaign = ?1 AND user IN "
            "(SELECT user FROM journey_users WHERE campaign = ?1 LIMIT ?2)",
            (campaign.id, ROWS_PER_PIECE),
        ).rowcount:
            yield
        with self.transaction():
            self._execute("DELETE FROM campaign_audiences WHERE campaign = ?", (campaign.id,))
            self._execute("DELETE FROM campaigns WHERE id = ?", (campaign.id,))
        self.campaigns.pop(campaign.id, None)
        self._uses = None

    def forget(self) -> None:
        """Forget the campaigns, which were deleted with all data."""
        self._load()
        self._announce()

    def _remember(self, campaign: Campaign) -> None:
        before = self.campaigns.get(campaign.id)
        self.campaigns[campaign.id] = campaign
        if before is None or before.status != campaign.status:
            self._uses = None

    # -- triggers ---------------------------------------------------------------

    def add_triggers(self, triggers: Iterable[NewTrigger]) -> None:
        """Store new triggers."""
        self._database.connection.executemany(
            "INSERT INTO campaign_triggers "
            "(campaign, event, action, segment, ts, due, status, users) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*each[:-1], pack_numbers(each.users)) for each in triggers],
        )

    def due_triggers(self, campaign: Campaign, *, now: float, limit: int) -> list[Trigger]:
        """Return the pending triggers that are due, the earliest first."""
        clause = "WHERE campaign = ? AND status = 'pending' AND due <= ? ORDER BY due, id LIMIT ?"
        return list(self._select(clause, campaign.id, now, limit))

    def next_due(self, campaign: Campaign, *, now: float) -> float | None:
        """Return when the next pending trigger that is not due yet will be, or None."""
        (due,) = self._execute(
            "SELECT min(due) FROM campaign_triggers "
            "WHERE campaign = ? AND status = 'pending' AND due > ?",
            (campaign.id, now),
        ).fetchone()
        return None if due is None else float(due)

    def has_pending(self, campaign: Campaign) -> bool:
        """Whether a trigger of the campaign is pending."""
        clause = "WHERE campaign = ? AND status = 'pending' LIMIT 1"
        return bool(list(self._select(clause, campaign.id)))

    def set_statuses(self, statuses: Iterable[tuple[str, int]]) -> None:
        """Set the status of triggers that need no attempt: pairs of status and trigger id."""
        self._database.connection.executemany(
            "UPDATE campaign_triggers SET status = ? WHERE id = ?", statuses
        )

    def record_attempt(
        self, trigger: Trigger, attempt: Attempt, *, status: str, due: float
    ) -> None:
        """Store an attempt, and the status and time that it gives its trigger.

        Does nothing if the trigger was deleted during the attempt. After all data was
        deleted, another campaign's trigger may have its id.
        """
        updated = self._execute(
            "UPDATE campaign_triggers SET status = ?, due = ?, attempts = ? "
            "WHERE id = ? AND campaign = ?",
            (status, due, attempt.number, trigger.id, trigger.campaign),
        )
        if not updated.rowcount:
            return
        self._execute(
            "INSERT OR REPLACE INTO trigger_attempts VALUES (?, ?, ?, ?, ?, ?)",
            (
                trigger.id,
                attempt.number,
                attempt.started,
                attempt.ms,
                attempt.status,
                attempt.error,
            ),
        )
        if status == FAILED:
            campaign = self.campaigns[trigger.campaign]
            self.change(campaign, failed=campaign.failed + 1)

    def read_triggers(
        self,
        campaign: Campaign,
        *,
        start: int = 0,
        before: int = 1 << 62,
        newest_first: bool = False,
    ) -> Iterator[list[tuple[Trigger, list[Attempt]]]]:
        """Yield the triggers with their attempts in pieces, from ``start`` to below ``before``.

        With ``newest_first``, in the opposite order.  No cursor stays open
        between two pieces.
        """
        first, last = start, before - 1
        order = "DESC" if newest_first else "ASC"
        clause = f"WHERE campaign = ? AND id BETWEEN ? AND ? ORDER BY id {order} LIMIT ?"
        while piece := list(self._select(clause, campaign.id, first, last, ROWS_PER_PIECE)):
            yield [(each, self._read_attempts(each)) for each in piece]
            if newest_first:
                last = piece[-1].id - 1
            else:
                first = piece[-1].id + 1

    def _read_attempts(self, trigger: Trigger) -> list[Attempt]:
        if not trigger.attempts:
            return []
        rows = self._execute(
            "SELECT number, started, ms, status, error FROM trigger_attempts "
            "WHERE trigger_id = ? ORDER BY number",
            (trigger.id,),
        )
        return [
            Attempt(number=number, started=started, ms=ms, status=status, error=error)
            for number, started, ms, status, error in rows
        ]

    def _select(self, clause: str, *parameters: float) -> Iterator[Trigger]:
        rows = self._execute(
            f"SELECT {', '.join(TRIGGER_COLUMNS)} FROM campaign_triggers {clause}",  # noqa: S608 - fixed clauses
            parameters,
        )
        for *values, users in rows:
            yield Trigger(
                **dict(zip(TRIGGER_COLUMNS, (*values, unpack_numbers(users)), strict=True))
            )

    # -- journeys ---------------------------------------------------------------

    def enter_journey(self, campaign: Campaign, user: Sequence[int], *, once: bool) -> bool:
        """Store that a user is inside; return False if the user must not enter again.

        ``user`` is a profile's number, then those of profiles merged into it.
        """
        if once and any(self._select_journey(campaign, number) for number in user):
            return False
        self._execute(
            "INSERT OR REPLACE INTO journey_users VALUES (?, ?, 1)", (campaign.id, user[0])
        )
        return True

    def _select_journey(self, campaign: Campaign, number: int) -> bool:
        row = self._execute(
            "SELECT 1 FROM journey_users WHERE campaign = ? AND user = ?", (campaign.id, number)
        )
        return row.fetchone() is not None

    def leave_journey(self, campaign: Campaign, user: Sequence[int]) -> int:
        """Store that a user is outside; return how many of the user's profiles were inside."""
        return sum(
            self._execute(
                "UPDATE journey_users SET is_inside = 0 "
                "WHERE campaign = ? AND user = ? AND is_inside = 1",
                (campaign.id, number),
            ).rowcount
            for number in user
        )


def _check_users(connection: Connection, file: Path, counts: Mapping[int, int]) -> None:
    """Check that triggers, audiences and journeys are of profiles that exist.

    ``counts`` has the number of profiles of each account.
    """
    last = connection.execute(
        "SELECT account, users FROM campaign_triggers JOIN campaigns ON campaigns.id = campaign"
    )
    known = [max(array("I", users)) < counts.get(account, 0) for account, users in last]
    audiences = connection.execute(
        "SELECT account, bitmap FROM campaign_audiences JOIN campaigns ON campaigns.id = campaign"
    )
    for account, blob in audiences:
        audience = BitMap.deserialize(blob)
        known.append(not audience or audience.max() < counts.get(account, 0))
    inside = connection.execute(
        "SELECT account, max(user) FROM journey_users JOIN campaigns ON campaigns.id = campaign "
        "GROUP BY account"
    )
    known += [user < counts.get(account, 0) for account, user in inside]
    if not all(known):
        raise damaged(file, "it has campaigns of users that do not exist")
