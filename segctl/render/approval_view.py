"""How today's plan compares with the approved one, in words and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from segctl.core.approval import ApprovalCheck, PairCounts, SegmentApproval
from segctl.render.phrases import format_count, format_number
from segctl.render.style import PLAIN, Style, escaped

_MAX_SEGMENTS = 50


def check_lines(check: ApprovalCheck, *, style: Style = PLAIN) -> Iterator[str]:
    """Yield a headline, then one line for each segment that differs, those beyond first."""
    yield _headline(check, style)
    yield from (f"  {escaped(problem)}" for problem in check.problems)
    segments = sorted(check.segments, key=lambda segment: not segment.is_beyond)
    for segment in segments[:_MAX_SEGMENTS]:
        yield f"  {escaped(segment.address)}: {'; '.join(_parts(segment))}"
    if (more := len(segments) - _MAX_SEGMENTS) > 0:
        yield f"  … and {format_count(more, 'more segment')}"


def check_object(check: ApprovalCheck) -> dict[str, Any]:
    """Return the comparison as JSON values: every segment that differs, with its counts."""
    return {
        "digest": check.digest,
        "beyond": check.is_beyond,
        "problems": list(check.problems),
        "segments": [
            {
                "address": segment.address,
                "beyond": segment.is_beyond,
                "tolerance": segment.tolerance,
                "intolerance": segment.intolerance,
                "add": _counts_object(segment.add),
                "remove": _counts_object(segment.remove),
                "problems": list(segment.problems),
            }
            for segment in check.segments
        ],
    }


def _counts_object(counts: PairCounts) -> dict[str, int]:
    return {**asdict(counts), "dropped": counts.dropped}


def _headline(check: ApprovalCheck, style: Style) -> str:
    if check.is_beyond:
        return style.red(style.bold("Today's plan is more than what was approved:"))
    tolerated = any(s.add.beyond or s.remove.beyond for s in check.segments)
    if tolerated:
        what = "what was approved, with a difference that it tolerates"
    elif check.segments:
        what = "a part of what was approved"
    else:
        what = "exactly what was approved"
    return f"Today's plan is {what} ({check.digest})."


def _parts(segment: SegmentApproval) -> Iterator[str]:
    yield from (escaped(problem) for problem in segment.problems)
    directions = (("add", segment.add), ("remove", segment.remove))
    for word, counts in directions:
        if counts.beyond:
            allowed = _allowed(segment, counts)
            yield (
                f"{format_number(counts.beyond)} to {word} beyond the approved "
                f"{format_number(counts.approved)} ({allowed})"
            )
    for word, counts in directions:
        if counts.dropped:
            yield (
                f"{format_number(counts.dropped)} of {format_number(counts.approved)} to {word} "
                "are no longer needed"
            )
    if not (segment.problems or any(c.beyond or c.dropped for _, c in directions)):
        yield "nothing is left to do"


def _allowed(segment: SegmentApproval, counts: PairCounts) -> str:
    if segment.intolerance:
        return f"none tolerated: {segment.intolerance}"
    limit = format_number(segment.tolerance)
    if counts.earlier:
        limit += f", of which earlier runs sent {format_number(counts.earlier)}"
    if counts.beyond + counts.earlier <= segment.tolerance:
        return f"within the tolerance of {limit}"
    return f"{limit} tolerated" if segment.tolerance else "none tolerated"
