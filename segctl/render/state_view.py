"""The state as text and as JSON: what is recorded of each segment, no members."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from segctl.render.json_document import FORMAT_VERSION
from segctl.render.phrases import counted, number, value_text
from segctl.render.style import PLAIN, Style, escaped, quoted
from segctl.state.history import Garbage, StateCheck, StateVersion
from segctl.state.model import SegmentRecord, State


def text(state: State, *, style: Style = PLAIN) -> str:
    """Give the whole state as a page."""
    if not state.lineage:
        return "The state is empty: nothing was applied yet.\n"
    head = {
        "lineage": state.lineage,
        "serial": state.serial,
        "account": state.account,
        "host": state.host,
    }
    blocks = ["\n".join(f"{name}: {escaped(str(value))}" for name, value in head.items()) + "\n"]
    blocks += [segment(a, record, style=style) for a, record in sorted(state.segments.items())]
    if state.tombstones:
        count = counted(len(state.tombstones), "destroyed segment")
        lines = [style.bold(f"# {count}: their shells are still in CleverTap")]
        lines += [
            f"#   {escaped(t.address)} = {quoted(t.record.remote_name)} "
            f"({escaped(t.record.key)}, {counted(t.record.members.digest.count, 'member')} left)"
            for t in state.tombstones
        ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def addresses(names: Iterable[str]) -> str:
    """Give addresses, sorted, one a line."""
    return "".join(f"{escaped(name)}\n" for name in sorted(names))


def segment(address: str, record: SegmentRecord, *, style: Style = PLAIN) -> str:
    """Give one segment as a block."""
    rows = list(_rows(record))
    width = max(len(name) for name, _ in rows)
    lines = [style.bold(f"# {escaped(address)}"), "segment " + _name(address) + " {"]
    lines += [f"    {name:<{width}} = {value}" for name, value in rows]
    return "\n".join([*lines, "}"]) + "\n"


def _name(address: str) -> str:
    return quoted(address.removeprefix("segment."))


def _rows(record: SegmentRecord) -> Iterator[tuple[str, str]]:
    yield "displayName", value_text(record.declared_name)
    if record.remote_name != record.declared_name:
        yield "nameInCleverTap", value_text(record.remote_name)
    yield "customerSegmentId", value_text(record.customer_segment_id)
    if record.ct_segment_id is not None:
        yield "ctSegmentId", str(record.ct_segment_id)
    if record.labels:
        yield "labels", value_text(record.labels)
    if not record.created:
        yield "created", "not confirmed"
    if record.missing:
        yield "missing", "CleverTap does not find it, or it was deleted there"
    yield "members", number(record.members.digest.count) if record.managed else "not managed"
    if record.pairs.uncertain:
        yield "uncertain", number(record.pairs.uncertain)
    if record.pairs.refused:
        yield "refused", number(record.pairs.refused)
    if record.lifecycle.prevent_destroy:
        yield "preventDestroy", "true"
    if record.lifecycle.on_remove != "empty":
        yield "onRemove", value_text(record.lifecycle.on_remove)


def json_text(state: State) -> str:
    """Give the state as a JSON document without members."""
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "lineage": state.lineage or None,
        "serial": state.serial,
        "account": state.account,
        "host": state.host,
        "segments": [_object(a, record) for a, record in sorted(state.segments.items())],
        "tombstones": [
            {**_object(t.address, t.record), "destroyed_at": t.destroyed_at}
            for t in state.tombstones
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _object(address: str, record: SegmentRecord) -> dict[str, Any]:
    return {
        "address": address,
        "display_name": record.declared_name,
        "remote_name": record.remote_name,
        "customer_segment_id": record.customer_segment_id,
        "ct_segment_id": record.ct_segment_id,
        "created": record.created,
        "missing": record.missing,
        "managed": record.managed,
        "labels": dict(record.labels),
        "guards": asdict(record.guards),
        "lifecycle": asdict(record.lifecycle),
        "members": record.members.digest.count,
        "members_digest": str(record.members.digest),
        "uncertain": record.pairs.uncertain,
        "refused": record.pairs.refused,
    }


def imported(address: str, *, key: str, members: int, duplicates: int) -> str:
    """Say what an import recorded."""
    rows = "row repeats" if duplicates == 1 else "rows repeat"
    repeated = f" ({duplicates:,} {rows} another)" if duplicates else ""
    return (
        f"Adopted {escaped(address)} as {escaped(key)} with {counted(members, 'member')}"
        f"{repeated}; nothing was sent.\n"
    )


def history(versions: Iterable[StateVersion]) -> str:
    """Give one line a version of the state."""
    return "".join(map(_line, versions)) or (
        "There is no state yet; the first `segctl apply` makes it.\n"
    )


def _line(version: StateVersion) -> str:
    serial = "?" if version.serial is None else number(version.serial)
    where = "(present)" if version.current else escaped(version.name)
    what = (
        f"cannot be read: {escaped(version.problem.removeprefix(_UNREADABLE))}"
        if version.problem
        else f"{counted(version.segments, 'segment'):>14}  {counted(version.members, 'member'):>22}"
    )
    if version.until is not None and not version.problem:
        what += f"  until {datetime.fromtimestamp(version.until, UTC):%Y-%m-%d %H:%M} UTC"
    return f"serial {serial:>6}  {where:<22}  {what}\n"


def waste(found: Garbage, *, dry_run: bool) -> str:
    """Say what of the state was removed, or would be."""
    if not found.heads and not found.files:
        return "The state needs everything that it holds.\n"
    lines = "".join(
        [f"  history/{escaped(name)}\n" for name in found.heads]
        + [f"  members/{escaped(name)}\n" for name in found.files]
    )
    size = f"{counted(len(found.files), 'member file')} ({found.bytes / 1e6:,.1f} MB)"
    what = f"{counted(len(found.heads), 'earlier version')} and {size}"
    if dry_run:
        return f"{lines}Would remove {what}.\n"
    return f"Removed {what}.\n"


def checked(found: StateCheck) -> str:
    """Say whether the state adds up, and what does not."""
    size = f"{counted(found.members, 'member')}, {counted(found.files, 'file')}"
    unused = ""
    if found.unused:
        unused = (
            f"Nothing needs {counted(found.unused, 'member file')} "
            f"({found.unused_bytes / 1e6:,.1f} MB): `segctl state gc` removes what is left over.\n"
        )
    if not found.problems:
        earlier = f"; {counted(found.versions, 'earlier version')}" if found.versions else ""
        return (
            f"The state adds up: {counted(found.segments, 'segment')}, {size}{earlier}.\n{unused}"
        )
    listed = "".join(
        f"  - {escaped(problem.summary)}\n    {escaped(problem.advice)}\n"
        for problem in found.problems
    )
    of = f"{found.sound:,} of {counted(found.segments, 'segment')} add up; {size}"
    return f"The state does not add up ({of}):\n{listed}{unused}"


_UNREADABLE = "the state cannot be read: "
