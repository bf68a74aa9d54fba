"""What an apply did, in text: the report at its end and the lines on its way."""

from collections.abc import Iterator

from segctl.core.events import ApplyEnded, CreateDone, Recovered
from segctl.core.outcomes import Outcome
from segctl.render.phrases import counted, duration, number
from segctl.render.style import PLAIN, Style, escaped

_WENT = {
    Outcome.REFUSED: "was refused",
    Outcome.FAILED: "failed",
    Outcome.UNCERTAIN: "got no trustworthy answer",
    Outcome.NOT_TRIED: "was not tried",
}


def end_report(ended: ApplyEnded, *, style: Style = PLAIN) -> str:
    """Give the report: a headline, then how many requests met which outcome."""
    lines = [_headline(ended, style), f"  Requests: {outcome_counts(ended)}."]
    lines += [f"  {line}" for line in _advice(ended)]
    return "\n".join(lines) + "\n"


def outcome_counts(ended: ApplyEnded) -> str:
    """Count the requests by outcome; all five, so that nothing is left to guess."""
    return (
        f"{number(ended.acknowledged)} acknowledged, {number(ended.refused)} refused, "
        f"{number(ended.failed)} failed, {number(ended.uncertain)} uncertain, "
        f"{number(ended.not_tried)} not tried"
    )


def is_complete(ended: ApplyEnded) -> bool:
    """Tell whether every segment is there and every membership acknowledged."""
    left = ended.refused + ended.failed + ended.uncertain + ended.not_tried + ended.quarantined
    return not left and not ended.not_created and not ended.interrupted


def _headline(ended: ApplyEnded, style: Style) -> str:
    changes = counted(ended.changes, "membership change")
    took = f"{changes} acknowledged in {duration(ended.seconds)}."
    if is_complete(ended):
        return f"{style.green(style.bold('Apply complete.'))} {took}"
    if ended.interrupted:
        return f"{style.yellow(style.bold('Apply interrupted.'))} {took}"
    return f"{style.red(style.bold('Apply incomplete.'))} {took}"


def _advice(ended: ApplyEnded) -> Iterator[str]:
    if ended.not_created:
        count = counted(ended.not_created, "segment")
        yield f"Not created: {count}, and their members not sent; the reasons are told above."
    if ended.uncertain:
        yield "Uncertain: sent, and no trustworthy answer came back; the next apply sends it again."
    if ended.failed or ended.not_tried:
        yield "Failed or not tried: the same command again goes on from here."
    if ended.quarantined:
        count = counted(ended.quarantined, "membership")
        yield f"Quarantined: {count} that CleverTap refused singly; they are not sent again."
    if ended.refused:
        yield "Refused: CleverTap did not accept the content; it is recorded and not sent again."


def create_line(event: CreateDone) -> str:
    """Say what became of one request that creates segments."""
    names = [escaped(address) for address in event.addresses]
    listed = ", ".join(names[:3]) + (f" and {number(len(names) - 3)} more" if names[3:] else "")
    if event.outcome is Outcome.ACKNOWLEDGED:
        return f"Created {listed}"
    detail = f": {escaped(event.detail)}" if event.detail else ""
    return f"Creating {listed} {_WENT[event.outcome]}{detail}"


def recovered_line(event: Recovered, *, planning: bool) -> str:
    """Say that an earlier apply was interrupted, and what its journal tells."""
    begun = (
        "An apply was interrupted, or is at work;"
        if planning
        else "An earlier apply was interrupted;"
    )
    found = (
        f"{begun} its journal shows "
        f"{counted(event.acknowledged, 'acknowledged request')} and "
        f"{number(event.uncertain)} without an answer."
    )
    ending = "The next apply records them." if planning else "They are recorded in the state."
    return f"{found} {ending}"
