"""Questions about the size of requests and how many may be in flight.

Every request is a REMOVE from segments that do not exist, so the worst result is entries
in the Error Stream.
"""

from segctl.probing.probe_run import (
    Acceptance,
    CreatedSegment,
    ProbeRun,
    Reply,
    cannot_tell,
    observed,
)
from segctl.probing.report import Cost, ProbeFinding

OVER = 101
HALF = 60
"""The size of each of two entries: each within the limit, both together above it."""

PAIRED = 51
"""Segments for each of two users: within the limits of both, and together more than 100."""

CODE_100 = (100, "100")
_NO_LIMIT = "an answer was unclear, or a refusal other than code 100"

BURSTS = (4, 8, 12)
"""Numbers of concurrent requests. The documented limit is 3; a fast service notices only more."""


def update_without_users(probe: ProbeRun, first: CreatedSegment) -> list[ProbeFinding]:
    """Send an update without users, for which the vendor's table lists code 100."""
    reply = probe.update(
        ([], [{"customer_segment_id": first.customer_id, "action": "REMOVE"}]),
        purpose="update without any user",
        cost=Cost(),
    )
    key, summary = "code_100_status", f"HTTP {reply.status}, code {reply.code}"
    if reply.code in CODE_100:
        settings = {key: reply.status} if reply.status in (200, 400) else {}
        return [observed(key, summary, reply.number, settings=settings)]
    if reply.acceptance is Acceptance.UNCLEAR:
        return [cannot_tell(key, f"no clear answer: {reply.summary}", reply.number)]
    return [observed(key, f"no code 100 without users: {summary}", reply.number)]


def empty_entry(probe: ProbeRun) -> list[ProbeFinding]:
    """Send an entry without users, and one that is complete."""
    key = "empty_entry"
    if unskipped := _unskipped_update(probe, key):
        return unskipped
    line = [probe.nonexistent_line()]
    reply = probe.update(
        ([probe.user(8)], line),
        ([], line),
        purpose="update with an entry without users, and a complete one",
        cost=_skipped_entries(2),
    )
    if reply.acceptance is Acceptance.UNCLEAR:
        return [cannot_tell(key, f"no clear answer: {reply.summary}", reply.number)]
    if reply.acceptance is Acceptance.REFUSED:
        summary, choice = f"the request is refused: {reply.summary}", "refuse"
    else:
        summary = "the request is accepted; the Error Stream shows whether the entry is logged"
        choice = "error_stream"
    return [observed(key, summary, reply.number, settings={key: choice})]


def profile_updates(probe: ProbeRun, *, accepts_empty: bool) -> list[ProbeFinding]:
    """Send a little more than 100 users × segments, then a little more than 100 entries.

    ``accepts_empty``: entries without users are accepted. Otherwise there are at least as many
    users as entries, and the two limits cannot be distinguished.
    """
    key = "profile_updates"
    if unskipped := _unskipped_update(probe, key):
        return unskipped
    line = [probe.nonexistent_line()]
    pairs = probe.update(
        ([probe.user(8), probe.user(10)], [probe.nonexistent_line(n) for n in range(PAIRED)]),
        purpose=f"update {PAIRED} segments for each of two users",
        cost=Cost(profiles=1, errors=2 * PAIRED),
    )
    by_pairs = _is_limit_refusal(pairs)
    if by_pairs is None:
        return [cannot_tell(key, _NO_LIMIT, pairs.number)]
    if by_pairs:
        settings = {key: "pairs"}
        return [observed(key, "users × segments", pairs.number, settings=settings)]
    if not accepts_empty:
        why = "not users × segments; entries and users cannot be distinguished here"
        return [cannot_tell(key, why, pairs.number)]
    entries = probe.update(
        ([probe.user(8)], line),
        *[([], [])] * (OVER - 1),
        purpose=f"update with {OVER} entries, of which one has a user",
        cost=_skipped_entries(OVER),
    )
    by_entries = _is_limit_refusal(entries)
    evidence = (pairs.number, entries.number)
    if by_entries is None:
        return [cannot_tell(key, _NO_LIMIT, *evidence)]
    choice = "entries" if by_entries else "users"
    return [observed(key, choice, *evidence, settings={key: choice})]


def _unskipped_update(probe: ProbeRun, *keys: str) -> list[ProbeFinding]:
    """Return findings if a segment that does not exist is not skipped, else an empty list.

    The request that shows it is sent once a probe.
    """
    reply = probe.skipped_update
    if reply is None:
        reply = probe.skipped_update = probe.update(
            ([probe.user(8)], [probe.nonexistent_line()]),
            purpose="update a segment that does not exist",
            cost=_skipped_entries(1),
        )
    if reply.acceptance is Acceptance.ACCEPTED:
        return []
    why = f"a segment that does not exist is not passed over: {reply.summary}"
    return [cannot_tell(key, why, reply.number) for key in keys]


def counting(probe: ProbeRun, *, updates: object) -> list[ProbeFinding]:
    """Send a little more than 100 segments and users: distinct, repeated, and in two entries.

    ``updates`` is what the service counts as profile updates, None if unknown.
    """
    keys = ("limit_counts", "limit_scope")
    if unskipped := _unskipped_update(probe, *keys):
        return unskipped
    user = [probe.user(8)]
    line = [probe.nonexistent_line()]
    over = probe.update(
        (user, [probe.nonexistent_line(n) for n in range(OVER)]),
        purpose=f"update {OVER} segments that do not exist",
        cost=_skipped_entries(OVER),
    )
    if not _is_limit_refusal(over):
        why = f"{OVER} segments in one request do not meet code 100: {over.summary}"
        return [cannot_tell(key, why, over.number) for key in keys]
    lines = probe.update(
        (user, line * OVER),
        purpose=f"update one segment {OVER} times over",
        cost=_skipped_entries(OVER),
    )
    segment_halves = probe.update(
        (user, [probe.nonexistent_line(n) for n in range(HALF)]),
        (user, [probe.nonexistent_line(n) for n in range(HALF, 2 * HALF)]),
        purpose=f"update {HALF} segments in each of two entries",
        cost=_skipped_entries(2 * HALF),
    )
    users = probe.update(
        (user * OVER, line),
        purpose=f"update one user {OVER} times over",
        cost=_skipped_entries(OVER),
    )
    user_halves = probe.update(
        (user * HALF, line),
        (user * HALF, line),
        purpose=f"update one user {HALF} times in each of two entries",
        cost=_skipped_entries(2 * HALF),
    )
    return [
        _repeats_finding(over, lines, users),
        _scope_finding(over, segment_halves, users, user_halves, updates=updates),
    ]


def _skipped_entries(errors: int) -> Cost:
    # At most one profile, if a refused entry creates one after all.
    return Cost(profiles=1 if errors == 1 else 0, errors=errors)


def _is_limit_refusal(reply: Reply) -> bool | None:
    """Whether a limit refused it; ``None`` for another refusal or an unclear answer."""
    if reply.acceptance is Acceptance.REFUSED:
        return True if reply.code in CODE_100 else None
    return False if reply.acceptance is Acceptance.ACCEPTED else None


def _repeats_finding(over: Reply, lines: Reply, users: Reply) -> ProbeFinding:
    evidence = (over.number, lines.number, users.number)
    by_line, by_user = _is_limit_refusal(lines), _is_limit_refusal(users)
    key = "limit_counts"
    if by_line is None or by_user is None:
        return cannot_tell(key, _NO_LIMIT, *evidence)
    if by_line != by_user:
        summary = f"segments {_counting_text(by_line)}, users {_counting_text(by_user)}"
        return observed(key, summary, *evidence)
    settings = {key: "all" if by_line else "distinct"}
    return observed(key, f"repeats {_counting_text(by_line)}", *evidence, settings=settings)


def _counting_text(counted: bool) -> str:
    return "count again" if counted else "do not count again"


def _scope_finding(
    over: Reply, segment_halves: Reply, users: Reply, user_halves: Reply, *, updates: object
) -> ProbeFinding:
    evidence = (over.number, segment_halves.number, users.number, user_halves.number)
    if updates == "pairs":
        why = "100 users × segments a request leave no room to reach it"
        return cannot_tell("limit_scope", why, *evidence)
    by_line = _is_limit_refusal(segment_halves)
    # If repeats do not count, one repeated user says nothing about entries.
    # If users are the profile updates, they are counted per request in any case.
    is_shown = _is_limit_refusal(users) and updates != "users"
    by_user = _is_limit_refusal(user_halves) if is_shown else by_line
    key = "limit_scope"
    if by_line is None or by_user is None:
        return cannot_tell(key, _NO_LIMIT, *evidence)
    if by_line != by_user:
        return observed(
            key, f"segments {_scope_text(by_line)}, users {_scope_text(by_user)}", *evidence
        )
    settings = {key: "request" if by_line else "entry"}
    return observed(key, _scope_text(by_line), *evidence, settings=settings)


def _scope_text(together: bool) -> str:
    return "per request" if together else "per entry"


def in_flight(probe: ProbeRun) -> list[ProbeFinding]:
    """Send concurrent updates, more each time, until one is answered 429."""
    sent: tuple[int, ...] = ()
    for count in BURSTS:
        replies = probe.update_at_once(count, purpose=f"{count} updates side by side")
        refused = [reply for reply in replies if reply.status == 429]
        if refused:
            return _rate_limit_findings(refused[0])
        sent = (*sent, replies[0].number)
    why = f"{BURSTS[-1]} updates side by side met no 429"
    return [cannot_tell(key, why, *sent) for key in ("rate_limit_body", "rate_limit_retry_after")]


def _rate_limit_findings(reply: Reply) -> list[ProbeFinding]:
    body = reply.raw.body.strip()
    if isinstance(reply.document, dict):
        kind = "json"
    elif not body:
        kind = "empty"
    else:
        kind = "html" if body.startswith(b"<") else ""
    after = reply.raw.headers.get("retry-after")
    known = after is None or after.strip().isdecimal()
    settings = {"rate_limit_retry_after": int(after or 0)} if known else {}
    return [
        observed(
            "rate_limit_body",
            f"{kind or 'text'}{f': {reply.message}' if reply.message else ''}",
            reply.number,
            settings={"rate_limit_body": kind} if kind else {},
        ),
        observed(
            "rate_limit_retry_after",
            "no" if after is None else f"yes: {after[:60]}",
            reply.number,
            settings=settings,
        ),
    ]
