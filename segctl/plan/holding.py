"""What a plan holds back: the refusals that belong to single segments, and how they are named."""

from collections.abc import Iterator, Sequence
from dataclasses import field

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.core.identity import Kind
from segctl.core.listing import list_first
from segctl.plan.model import Action, Figures, Finding, HeldBack, Plan
from segctl.plan.overrides import OF_SOURCES

HELD_BACK = "held-back"
"""The code of the finding about segments for which nothing is sent."""

HOLD_HINT = "To apply the other segments meanwhile, plan with --hold."

MAX_NAMED = 3
"""How many of the segments that are held back for one reason are named in a line."""

_OF_SEGMENTS = frozenset(("min-rows", OF_SOURCES, "disjoint", "subset", "size"))
"""The codes of refusals whose figures name the segments that they are about."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why segments are held back, with what to do and examples of users."""

    held: HeldBack
    detail: str = ""
    sample: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)


def refused_segments(finding: Finding) -> tuple[str, ...]:
    """Return the segments that an error is about; empty if it is about the whole plan."""
    own = (finding.address,) if finding.address else ()
    named = finding.figures.segments if finding.figures else ()
    return tuple(dict.fromkeys((*own, *named))) if own or finding.code in _OF_SEGMENTS else ()


def refusal_of(finding: Finding, segments: Sequence[str]) -> Refusal:
    """Return why an error holds these segments back."""
    return Refusal(
        held=HeldBack(
            code=finding.code,
            reason=finding.summary,
            segments=tuple(segments),
            place=finding.figures.place if finding.figures else None,
        ),
        detail=finding.detail,
        sample=finding.sample,
    )


def refusals_of_approved(plan: Plan) -> tuple[Refusal, ...]:
    """Return what an approved plan holds back, for today's plan."""
    detail = "The approved plan holds it back. Plan again to see whether it is still refused."
    return tuple(Refusal(held=held, detail=detail) for held in plan.held)


def can_hold(plan: Plan) -> bool:
    """Return whether something is left to apply if what the errors are about is held back."""
    refused = [refused_segments(finding) for finding in plan.error_findings]
    held = {address for segments in refused for address in segments}
    return all(refused) and any(
        change.action is not Action.NO_OP and change.address not in held for change in plan.changes
    )


def held_findings(refusals: Sequence[Refusal]) -> Iterator[Finding]:
    """Yield the warning about each refusal."""
    for refusal in refusals:
        held = refusal.held
        yield Finding(
            severity=Severity.WARNING,
            code=HELD_BACK,
            address=held.segments[0] if len(held.segments) == 1 else None,
            summary=held_summary(held),
            detail=refusal.detail,
            sample=refusal.sample,
            figures=Figures(count=len(held.segments), segments=held.segments, place=held.place),
        )


def held_summary(held: HeldBack) -> str:
    """Return which segments are held back, why, and where the reason is."""
    named = list_first(held.segments, MAX_NAMED)
    names = "" if len(held.segments) == 1 and named in held.reason else f"{named}: "
    place = f" ({held.place})" if held.place and held.place not in held.reason else ""
    return f"held back: {names}{held.reason}{place}"
