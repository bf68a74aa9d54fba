"""Rejects and quarantined memberships, as text and as JSON."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from segctl.core.rejects import QuarantinedMembership, RejectsResult, RetryResult
from segctl.render.json_document import FORMAT_VERSION
from segctl.render.member_format import MemberFormat
from segctl.render.phrases import format_count, format_number
from segctl.render.style import escaped


def render_load_result(result: RejectsResult) -> str:
    """Return how many rejects were loaded and matched, and what happens to them."""
    parts = [
        f"{format_number(result.adds)} matched an ADD",
        f"{format_number(result.removes)} a REMOVE",
    ]
    if result.older:
        parts.append(f"{format_number(result.older)} older than the last request for the pair")
    parts.append(f"{format_number(result.unmatched)} never sent from this state")
    lines = [f"{format_count(result.rows, 'reject')}: {', '.join(parts)}."]
    if result.known:
        lines.append(f"Of these, {format_number(result.known)} had already been loaded.")
    if result.adds + result.removes > result.known:
        lines.append(
            "The matched ones are quarantined: plans show them, and they are not sent again until "
            "their source changes or you run `segctl rejects retry`."
        )
    lines += [
        f"{escaped(address)} is missing in CleverTap: nothing is sent to it. "
        "`segctl plan` shows what to do."
        for address in result.missing
    ]
    return "".join(f"{line}\n" for line in lines)


def render_retry_result(result: RetryResult) -> str:
    """Return what left quarantine."""
    lines = [
        f"{escaped(address)} is treated as restored: the next apply sends members to it again."
        for address in result.found
    ]
    if result.pairs:
        lines.append(
            f"The next apply sends {format_count(result.pairs, 'refused membership')} in "
            f"{format_count(result.segments, 'segment')} again, if still wanted."
        )
    return "".join(f"{line}\n" for line in lines) or "No refused membership matches.\n"


def iter_text(
    refused: Iterable[QuarantinedMembership], *, identities: MemberFormat
) -> Iterator[str]:
    """Yield one line per membership: segment, action, reason, time, user."""
    is_empty = True
    for item in refused:
        is_empty = False
        cells = [escaped(item.address), item.action, escaped(item.type) or "-", _time(item.at)]
        if user := identities.format(item.kind, item.value):
            cells.append(user)
        yield "  ".join(cells) + "\n"
    if is_empty:
        yield "No membership is refused.\n"


def iter_json(
    refused: Iterable[QuarantinedMembership], *, identities: MemberFormat
) -> Iterator[str]:
    """Yield a JSON document in pieces, one membership per line."""
    yield f'{{"format_version": "{FORMAT_VERSION}", "refused": ['
    separator = "\n"
    for item in refused:
        members = {
            "address": item.address,
            "action": item.action,
            "type": item.type,
            "refused_at": _time(item.at),
            "kind": str(item.kind),
            **identities.fields(item.kind, item.value),
        }
        yield f"{separator}  {json.dumps(members)}"
        separator = ",\n"
    yield "\n]}\n" if separator != "\n" else "]}\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
