"""Accounts and segments as a start reads them from SQLite."""

from collections.abc import Mapping
from sqlite3 import Connection

from segctl.emulator.storage.merges import Merges
from segctl.emulator.storage.profiles import Profiles
from segctl.emulator.storage.state import Account, Segment


def load_accounts(
    connection: Connection,
    accounts: dict[str, Account],
    passcodes: Mapping[str, str],
    *,
    merges: Merges,
) -> None:
    """Add the accounts of the file that are not loaded yet, and set the passcodes of all.

    ``passcodes`` are those of the start, by account id; such an account is created.
    """
    for name in passcodes:
        connection.execute("INSERT OR IGNORE INTO accounts (id) VALUES (?)", (name,))
    rows = connection.execute(
        "SELECT number, id, passcode, profile_points, changes, events, event_points FROM accounts"
    ).fetchall()
    for number, name, passcode, profile_points, changes, events, event_points in rows:
        if name not in accounts:
            accounts[name] = Account(
                number=number,
                id=name,
                passcode=None,
                profiles=Profiles(
                    connection,
                    account_number=number,
                    account=name,
                    survivors=merges.survivors(number),
                ),
                profile_points=profile_points,
                membership_changes=changes,
                events=events,
                event_points=event_points,
            )
        accounts[name].passcode = passcodes.get(name, passcode)


def load_segments(connection: Connection, accounts: Mapping[int, Account]) -> int:
    """Add the segments of the file to their accounts, by number; return the last id, or 0."""
    last = 0
    rows = connection.execute(
        "SELECT id, account, customer_id, name, created_at, deleted_at, category "
        "FROM segments ORDER BY id"
    )
    for segment_id, number, customer_id, name, created_at, deleted_at, category in rows:
        accounts[number].add_segment(
            Segment(
                id=segment_id,
                customer_id=customer_id,
                name=name,
                created_at=created_at,
                deleted_at=deleted_at,
                category=category,
            )
        )
        last = segment_id
    return last
