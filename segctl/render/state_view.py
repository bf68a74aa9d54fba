"""The state as text and as JSON: the record of each segment, without its members."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from segctl.render.json_document import facts
from segctl.render.phrases import format_count, format_number, format_utc, format_value
from segctl.render.style import PLAIN, Style, escaped, quoted
from segctl.state.history import Garbage, StateCheck, StateVersion
from segctl.state.model import SegmentRecord, State, Tombstone

_UNREADABLE = "the state cannot be read: "
"""The prefix of a version's problem that its line would repeat."""


def render_text(state: State, *, style: Style = PLAIN) -> str:
    """Return the whole state as a page."""
    if not state.lineage:
        return "The state is empty: nothing has been applied yet.\n"
    head = {
        "lineage": state.lineage,
        "serial": state.serial,
        "account": state.account,
        "host": state.host,
    }
    blocks = ["\n".join(f"{name}: {escaped(str(value))}" for name, value in head.items()) + "\n"]
    blocks += [
        render_segment(a, record, style=style) for a, record in sorted(state.segments.items())
    ]
    if state.tombstones:
        count = format_count(len(state.tombstones), "destroyed segment")
        shells = "its shell is" if len(state.tombstones) == 1 else "their shells are"
        lines = [style.bold(f"# {count}: {shells} still in CleverTap")]
        lines += [_tombstone_line(tombstone) for tombstone in state.tombstones]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _tombstone_line(tombstone: Tombstone) -> str:
    record = tombstone.record
    members = format_count(record.members.digest.count, "member")
    name = quoted(record.remote_name)
    return f"#   {escaped(tombstone.address)} = {name} ({escaped(record.key)}, {members} left)"


def render_addresses(names: Iterable[str]) -> str:
    """Return the addresses, sorted, one per line."""
    return "".join(f"{escaped(name)}\n" for name in sorted(names))


def render_segment(address: str, record: SegmentRecord, *, style: Style = PLAIN) -> str:
    """Return one segment as a block."""
    rows = list(_rows(record))
    width = max(len(name) for name, _ in rows)
    name = quoted(address.removeprefix("segment."))
    lines = [style.bold(f"# {escaped(address)}"), f"segment {name} {{"]
    lines += [f"    {name:<{width}} = {value}" for name, value in rows]
    return "\n".join([*lines, "}"]) + "\n"


def _rows(record: SegmentRecord) -> Iterator[tuple[str, str]]:
    yield "displayName", format_value(record.declared_name)
    if record.remote_name != record.declared_name:
        yield "nameInCleverTap", format_value(record.remote_name)
    yield "customerSegmentId", format_value(record.customer_segment_id)
    if record.ct_segment_id is not None:
        yield "ctSegmentId", str(record.ct_segment_id)
    if record.labels:
        yield "labels", format_value(record.labels)
    if not record.created:
        yield "created", "not confirmed"
    if record.missing:
        yield "missing", "CleverTap does not find it, or it was deleted there"
    yield "members", format_number(record.members.digest.count) if record.managed else "not managed"
    if record.pairs.uncertain:
        yield "uncertain", format_number(record.pairs.uncertain)
    if record.pairs.refused:
        yield "refused", format_number(record.pairs.refused)
    if record.lifecycle.prevent_destroy:
        yield "preventDestroy", "true"
    if record.lifecycle.on_remove != "empty":
        yield "onRemove", format_value(record.lifecycle.on_remove)


def render_json(state: State) -> str:
    """Return the state as a JSON document without members."""
    return facts(
        lineage=state.lineage or None,
        serial=state.serial,
        account=state.account,
        host=state.host,
        segments=[segment_object(a, record) for a, record in sorted(state.segments.items())],
        tombstones=[
            {**segment_object(t.address, t.record), "destroyed_at": t.destroyed_at}
            for t in state.tombstones
        ],
    )


def version_object(version: StateVersion) -> dict[str, Any]:
    """Return one version of the state; ``problem`` is null if it can be read."""
    until = version.until
    return {
        "name": version.name or None,
        "current": version.current,
        "serial": version.serial,
        "segments": None if version.problem else version.segments,
        "members": None if version.problem else version.members,
        "until": None if until is None else format_utc(until),
        "problem": version.problem or None,
    }


def segment_object(address: str, record: SegmentRecord) -> dict[str, Any]:
    """Return what is recorded of one segment, without its members."""
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


def render_import(
    address: str, *, key: str, members: int, duplicates: int, dry_run: bool = False
) -> str:
    """Return what an import recorded, or would record."""
    note = f" ({format_count(duplicates, 'duplicate row')})" if duplicates else ""
    word, end = ("Would adopt", "written") if dry_run else ("Adopted", "sent")
    return (
        f"{word} {escaped(address)} as {escaped(key)} with {format_count(members, 'member')}"
        f"{note}; nothing was {end}.\n"
        + ("" if members else "Without recorded members, the next plan adds all declared ones.\n")
    )


def render_history(versions: Iterable[StateVersion]) -> str:
    """Return one line per version of the state."""
    return "".join(map(_version_line, versions)) or (
        "There is no state here, and no earlier one.\n"
    )


def _version_line(version: StateVersion) -> str:
    serial = "?" if version.serial is None else format_number(version.serial)
    name = "(current)" if version.current else escaped(version.name)
    if version.problem:
        content = f"cannot be read: {escaped(version.problem.removeprefix(_UNREADABLE))}"
    else:
        segments = format_count(version.segments, "segment")
        members = format_count(version.members, "member")
        content = f"{segments:>14}  {members:>22}"
        if version.until is not None:
            content += f"  until {datetime.fromtimestamp(version.until, UTC):%Y-%m-%d %H:%M} UTC"
    return f"serial {serial:>6}  {name:<22}  {content}\n"


def render_garbage(garbage: Garbage, *, dry_run: bool) -> str:
    """Return which files of the state were removed, or would be."""
    if not (garbage.heads or garbage.files or garbage.plans):
        return "Nothing to remove: the state needs all of its files.\n"
    lines = "".join(
        [f"  history/{escaped(name)}\n" for name in garbage.heads]
        + [f"  members/{escaped(name)}\n" for name in garbage.files]
        + [f"  plans/{escaped(name)}\n" for name in garbage.plans]
    )
    files = f"{format_count(len(garbage.files), 'member file')} ({garbage.bytes / 1e6:,.1f} MB)"
    total = f"{format_count(len(garbage.heads), 'earlier version')} and {files}"
    if garbage.plans:
        total += f", {format_count(len(garbage.plans), 'saved plan')}"
    return f"{lines}Would remove {total}.\n" if dry_run else f"Removed {total}.\n"


def render_check(check: StateCheck) -> str:
    """Return whether the state is consistent, every problem, and the files not needed."""
    size = f"{format_count(check.members, 'member')}, {format_count(check.files, 'file')}"
    unused = ""
    if check.unused and not check.problems:
        unused = (
            f"Unneeded: {format_count(check.unused, 'member file')} "
            f"({check.unused_bytes / 1e6:,.1f} MB). Run `segctl state gc` to free the space.\n"
        )
    segments = format_count(check.segments, "segment")
    if not check.problems:
        earlier = f"; {format_count(check.versions, 'earlier version')}" if check.versions else ""
        return f"The state is consistent: {segments}, {size}{earlier}.\n{unused}"
    problems = "".join(
        f"  - {escaped(problem.summary)}\n    {escaped(problem.advice)}\n"
        for problem in check.problems
    )
    summary = f"{check.sound:,} of {segments} without problems; {size}"
    return f"The state is not consistent ({summary}):\n{problems}"
