"""What CleverTap refused, in text and JSON: what was loaded, what waits, what is let go."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from segctl.core.identity import mask_identity
from segctl.core.rejects import QuarantinedMembership, RejectsResult, RetryResult
from segctl.render.json_document import FORMAT_VERSION
from segctl.render.phrases import Identities, counted, identity_text, number
from segctl.render.style import escaped


def loaded(result: RejectsResult) -> str:
    """Say what a stream came to, and what follows from it."""
    parts = [f"{number(result.adds)} matched to an ADD", f"{number(result.removes)} to a REMOVE"]
    if result.older:
        parts.append(f"{number(result.older)} older than the last request for the pair")
    parts.append(f"{number(result.unmatched)} never sent by this state")
    lines = [f"{counted(result.rows, 'reject')}: {', '.join(parts)}."]
    if result.known:
        lines.append(f"{number(result.known)} of them had been loaded before.")
    if result.adds + result.removes > result.known:
        lines.append(
            "Those matched are quarantined: plans show them, and they are not sent again until "
            "their source changes or `segctl rejects retry` is run."
        )
    lines += [
        f"{escaped(address)} is missing in CleverTap: nothing is sent to it; "
        "`segctl plan` says what to do."
        for address in result.missing
    ]
    return "".join(f"{line}\n" for line in lines)


def retried(result: RetryResult) -> str:
    """Say what left quarantine."""
    lines = [
        f"{escaped(address)} is taken for restored: the next apply sends to it again."
        for address in result.found
    ]
    if result.pairs:
        lines.append(
            f"{counted(result.pairs, 'refused membership')} in "
            f"{counted(result.segments, 'segment')} will be sent again by the next apply, "
            "where still wanted."
        )
    return "".join(f"{line}\n" for line in lines) or "Nothing that was refused is picked.\n"


def lines(refused: Iterable[QuarantinedMembership], *, identities: Identities) -> Iterator[str]:
    """Give one line a membership: segment, action, reason, time, user."""
    nothing = True
    for item in refused:
        nothing = False
        cells = [escaped(item.address), item.action, escaped(item.type) or "-", _time(item.at)]
        if identities is not Identities.NONE:
            cells.append(identity_text(item.kind, item.value, identities))
        yield "  ".join(cells) + "\n"
    if nothing:
        yield "Nothing is refused.\n"


def document(refused: Iterable[QuarantinedMembership], *, identities: Identities) -> Iterator[str]:
    """Give a JSON document in pieces, one membership a line."""
    yield f'{{"format_version": "{FORMAT_VERSION}", "refused": ['
    separator = "\n"
    for item in refused:
        members = {
            "address": item.address,
            "action": item.action,
            "type": item.type,
            "refused_at": _time(item.at),
            "kind": str(item.kind),
        }
        if identities is not Identities.NONE:
            members["value"] = (
                item.value if identities is Identities.FULL else mask_identity(item.value)
            )
        yield f"{separator}  {json.dumps(members)}"
        separator = ",\n"
    yield "\n]}\n" if separator != "\n" else "]}\n"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
