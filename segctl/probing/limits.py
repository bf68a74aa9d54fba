"""Questions about what a request may hold and how many may be in flight.

All of it with REMOVE from segments that do not exist: the worst that can come of it are
entries in the Error Stream.
"""

from segctl.probing.probe_run import CreatedSegment, ProbeRun, Reply, Verdict, cannot_tell, observed
from segctl.probing.report import Cost, ProbeFinding

OVER = 101
HALF = 60
"""So many in each of two entries: within the limit one by one, over it together."""

CODE_100 = (100, "100")
_NO_LIMIT = "an answer was unclear, or a refusal other than code 100"

BURSTS = (4, 8, 12)
"""How many at once: the documented limit is 3, and a quick service may need more to notice."""


def no_users(lab: ProbeRun, first: CreatedSegment) -> list[ProbeFinding]:
    """Send an update without users, which the vendor's table gives code 100."""
    reply = lab.update(
        ([], [{"customer_segment_id": first.customer_id, "action": "REMOVE"}]),
        purpose="update without any user",
        cost=Cost(),
    )
    key, said = "code_100_status", f"HTTP {reply.status}, code {reply.code}"
    if reply.code in CODE_100:
        settings = {key: reply.status} if reply.status in (200, 400) else {}
        return [observed(key, said, reply.number, settings=settings)]
    if reply.verdict is Verdict.UNCLEAR:
        return [cannot_tell(key, f"no clear answer: {reply.said}", reply.number)]
    return [observed(key, f"no code 100 without users: {said}", reply.number)]


def counting(lab: ProbeRun) -> list[ProbeFinding]:
    """Send a little more than 100, repeated, and spread over two entries."""
    keys = ("limit_counts", "limit_scope")
    user = [lab.user(8)]
    line = [lab.nowhere()]
    harmless = lab.update((user, line), purpose="update a segment that does not exist", cost=_of(1))
    if harmless.verdict is not Verdict.ACCEPTED:
        why = f"a segment that does not exist is not passed over: {harmless.said}"
        return [cannot_tell(key, why, harmless.number) for key in keys]
    over = lab.update(
        (user, [lab.nowhere(n) for n in range(OVER)]),
        purpose=f"update {OVER} segments that do not exist",
        cost=_of(OVER),
    )
    if not _refuses(over):
        why = f"{OVER} segments in one request do not meet code 100: {over.said}"
        return [cannot_tell(key, why, over.number) for key in keys]
    lines = lab.update(
        (user, line * OVER), purpose=f"update one segment {OVER} times over", cost=_of(OVER)
    )
    split_in_half = lab.update(
        (user, [lab.nowhere(n) for n in range(HALF)]),
        (user, [lab.nowhere(n) for n in range(HALF, 2 * HALF)]),
        purpose=f"update {HALF} segments in each of two entries",
        cost=_of(2 * HALF),
    )
    users = lab.update(
        (user * OVER, line), purpose=f"update one user {OVER} times over", cost=_of(OVER)
    )
    user_halves = lab.update(
        (user * HALF, line),
        (user * HALF, line),
        purpose=f"update one user {HALF} times in each of two entries",
        cost=_of(2 * HALF),
    )
    return [_repeats(over, lines, users), _scope(over, split_in_half, users, user_halves)]


def _of(errors: int) -> Cost:
    # One profile at most, of one user, should a refused entry make one after all.
    return Cost(profiles=1 if errors == 1 else 0, errors=errors)


def _refuses(reply: Reply) -> bool | None:
    """Tell whether a limit refused; ``None`` where something else did, or the answer is unclear."""
    if reply.verdict is Verdict.REFUSED:
        return True if reply.code in CODE_100 else None
    return False if reply.verdict is Verdict.ACCEPTED else None


def _repeats(over: Reply, lines: Reply, users: Reply) -> ProbeFinding:
    evidence = (over.number, lines.number, users.number)
    by_line, by_user = _refuses(lines), _refuses(users)
    key = "limit_counts"
    if by_line is None or by_user is None:
        return cannot_tell(
            key, "an answer was unclear, or another refusal than code 100", *evidence
        )
    if by_line != by_user:
        said = f"segments {_again(by_line)}, users {_again(by_user)}"
        return observed(key, said, *evidence)
    settings = {key: "all" if by_line else "distinct"}
    return observed(key, f"repeats {_again(by_line)}", *evidence, settings=settings)


def _again(counted: bool) -> str:
    return "count again" if counted else "do not count again"


def _scope(over: Reply, split_in_half: Reply, users: Reply, user_halves: Reply) -> ProbeFinding:
    evidence = (over.number, split_in_half.number, users.number, user_halves.number)
    by_line = _refuses(split_in_half)
    # Where repeats do not count, one user repeated says nothing about entries.
    by_user = _refuses(user_halves) if _refuses(users) else by_line
    key = "limit_scope"
    if by_line is None or by_user is None:
        return cannot_tell(
            key, "an answer was unclear, or another refusal than code 100", *evidence
        )
    if by_line != by_user:
        return observed(key, f"segments {_per(by_line)}, users {_per(by_user)}", *evidence)
    settings = {key: "request" if by_line else "entry"}
    return observed(key, _per(by_line), *evidence, settings=settings)


def _per(together: bool) -> str:
    return "per request" if together else "per entry"


def in_flight(lab: ProbeRun) -> list[ProbeFinding]:
    """Send a few updates side by side, more each time, until one is answered 429."""
    sent: tuple[int, ...] = ()
    for count in BURSTS:
        replies = lab.update_at_once(count, purpose=f"{count} updates side by side")
        refused = [reply for reply in replies if reply.status == 429]
        if refused:
            return _too_many(refused[0])
        sent = (*sent, replies[0].number)
    why = f"{BURSTS[-1]} updates side by side met no 429"
    return [cannot_tell(key, why, *sent) for key in ("rate_limit_body", "rate_limit_retry_after")]


def _too_many(reply: Reply) -> list[ProbeFinding]:
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
            f"{kind or 'text'}{f': {reply.words}' if reply.words else ''}",
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
