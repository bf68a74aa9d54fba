"""Applies: requests that belong together.

The vendor knows requests only.  A person thinks in applies: consecutive create and
update requests of one account with one User-Agent belong together, until a minute
passes without one.
"""

from dataclasses import dataclass
from sqlite3 import Connection

SECONDS_BETWEEN = 60
MAX_AGENT = 200
UNKNOWN_AGENT = "unknown client"


@dataclass(frozen=True, kw_only=True, slots=True)
class Apply:
    """Requests that belong together: times in seconds since 1970, and what they caused.

    ``label`` is the client's name and version, from its User-Agent.
    """

    number: int
    account: int
    agent: str
    label: str
    first: float
    last: float
    requests: int
    events: int
    skipped: int


def find_or_add_apply(connection: Connection, *, account: int, agent: str, now: float) -> int:
    """Return the number of the apply that a request belongs to."""
    agent = agent[:MAX_AGENT]
    row = connection.execute(
        "SELECT number, last FROM applies WHERE account = ? AND agent = ? "
        "ORDER BY number DESC LIMIT 1",
        (account, agent),
    ).fetchone()
    if row is not None and abs(now - row[1]) <= SECONDS_BETWEEN:
        return int(row[0])
    return int(
        connection.execute(
            "INSERT INTO applies (account, agent, label, first, last, requests, events, skipped) "
            "VALUES (?, ?, ?, ?, ?, 0, 0, 0)",
            (account, agent, label_of(agent), now, now),
        ).lastrowid
        or 0
    )


def count_request(
    connection: Connection, number: int, *, now: float, events: int = 0, skipped: int = 0
) -> None:
    """Count a request, and what it caused, in its apply."""
    connection.execute(
        "UPDATE applies SET last = ?, requests = requests + 1, events = events + ?, "
        "skipped = skipped + ? WHERE number = ?",
        (now, events, skipped, number),
    )


def label_of(agent: str) -> str:
    """Return the first product of a User-Agent: ``segctl 1.2`` for ``segctl/1.2 (linux)``."""
    product = agent.split(maxsplit=1)[0] if agent.strip() else UNKNOWN_AGENT
    return product.replace("/", " ", 1)


def read_applies(
    connection: Connection, *, account: int | None = None, before: int | None = None, limit: int
) -> list[Apply]:
    """Return applies, newest first: those of one account if given, numbered below ``before``."""
    rows = connection.execute(
        "SELECT number, account, agent, label, first, last, requests, events, skipped "
        "FROM applies WHERE (?1 IS NULL OR account = ?1) AND (?2 IS NULL OR number < ?2) "
        "ORDER BY number DESC LIMIT ?3",
        (account, before, limit),
    )
    names = ("number", "account", "agent", "label", "first", "last", "requests", "events")
    return [Apply(**dict(zip((*names, "skipped"), row, strict=True))) for row in rows]
