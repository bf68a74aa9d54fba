"""An apply in text: the lines while it runs and the report at its end."""

from collections.abc import Iterator

from segctl.core.events import ApplyEnded, CreateDone, Recovered, StateNamed
from segctl.core.outcomes import Outcome
from segctl.render.phrases import format_count, format_duration, format_number
from segctl.render.style import PLAIN, Style, escaped

_OUTCOME_VERBS = {
    Outcome.REFUSED: "was refused",
    Outcome.FAILED: "failed",
    Outcome.UNCERTAIN: "got no trustworthy answer",
    Outcome.NOT_TRIED: "was not tried",
}


def end_report(ended: ApplyEnded, *, place: str = "", style: Style = PLAIN) -> str:
    """Return the final report: a headline, the requests by outcome, and what happens next.

    ``place`` is the environment as the end of a sentence, empty if there is none.
    """
    lines = [_headline(ended, place, style), f"  Requests: {outcome_counts(ended)}."]
    if ended.parts:
        parts = format_count(ended.parts, "more request")
        lines.append(f"  Refused requests were sent again in parts: {parts}.")
    lines += [f"  {line}" for line in _advice(ended)]
    return "\n".join(lines) + "\n"


def outcome_counts(ended: ApplyEnded) -> str:
    """Return the number of requests by outcome. All five are listed, also those at 0."""
    counts = {
        Outcome.ACKNOWLEDGED: ended.acknowledged,
        Outcome.REFUSED: ended.refused,
        Outcome.FAILED: ended.failed,
        Outcome.UNCERTAIN: ended.uncertain,
        Outcome.NOT_TRIED: ended.not_tried,
    }
    return ", ".join(f"{format_number(count)} {outcome}" for outcome, count in counts.items())


def is_complete(ended: ApplyEnded) -> bool:
    """Return whether every segment was created and every membership change acknowledged."""
    left = ended.refused + ended.failed + ended.uncertain + ended.not_tried + ended.quarantined
    return not left and not ended.not_created and not ended.interrupted


def _headline(ended: ApplyEnded, place: str, style: Style) -> str:
    changes = format_count(ended.changes, "membership change")
    took = f"{changes} acknowledged{place} in {format_duration(ended.seconds)}."
    if is_complete(ended):
        return f"{style.green(style.bold('Apply complete.'))} {took}"
    if ended.interrupted:
        return f"{style.yellow(style.bold('Apply interrupted.'))} {took}"
    return f"{style.red(style.bold('Apply incomplete.'))} {took}"


def _advice(ended: ApplyEnded) -> Iterator[str]:
    if ended.not_created:
        count = format_count(ended.not_created, "segment")
        yield f"Not created: {count}. Their members were not sent."
    if ended.uncertain:
        yield "Uncertain: sent, but without a trustworthy answer. The next apply sends them again."
    if ended.refused:
        yield "Refused: none of their parts was accepted. They are part of the next plan."
    if ended.failed or ended.not_tried:
        yield "Failed or not tried: they are part of the next plan."
    if ended.quarantined:
        count = format_count(ended.quarantined, "membership")
        yield f"Quarantined: {count} that CleverTap refused one by one. They are not sent again."


def create_line(event: CreateDone) -> str:
    """Return the outcome of one request that creates segments."""
    names = [escaped(address) for address in event.addresses]
    listed = ", ".join(names[:3]) + (
        f" and {format_number(len(names) - 3)} more" if names[3:] else ""
    )
    if event.outcome is Outcome.ACKNOWLEDGED:
        return f"Created {listed}"
    detail = f": {escaped(event.detail)}" if event.detail else ""
    return f"Creating {listed} {_OUTCOME_VERBS[event.outcome]}{detail}"


def unfinished_line(event: Recovered, *, running: str) -> str:
    """Return a line about an apply whose journal is not merged into the state yet.

    ``running`` is who runs the apply, empty if it was interrupted.
    """
    holds = f"its journal contains {_requests(event)}"
    if running:
        return (
            f"An apply is at work ({escaped(running)}): {holds}. It records them when it ends; if "
            "it died, the next apply does."
        )
    return f"An apply was interrupted: {holds}. The next apply records them."


def named_line(event: StateNamed) -> str:
    """Return a line about the file that says which state belongs to the workspace."""
    return f"Wrote {event.file}, which says which state belongs to this workspace: commit it."


def recovered_line(event: Recovered) -> str:
    """Return a line about an earlier, interrupted apply that was recovered."""
    return (
        f"An earlier apply was interrupted: its journal contained {_requests(event)}. "
        "They are now recorded in the state."
    )


def _requests(event: Recovered) -> str:
    return (
        f"{format_count(event.acknowledged, 'acknowledged request')} and "
        f"{format_number(event.uncertain)} without an answer"
    )
