"""Adopt a segment that exists already, with the members that a file names; nothing is sent.

How a team with a filled account starts.  What is recorded is taken on the word of
the file: the service cannot be asked.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from segctl import recording
from segctl import workspace as workspaces
from segctl.context import Context
from segctl.diagnostics import Diagnostic
from segctl.engine.base import Engine, Folded, LoadStats, Recorded, RowsUnreadable, Scan
from segctl.errors import InvalidInput, Stop, WrongUsage
from segctl.events import Observer, ignore
from segctl.identity import DESCRIPTIONS, Kind
from segctl.locked import Locked, locked
from segctl.manifests.desired import DesiredSegment
from segctl.manifests.validate import format_of
from segctl.state.model import MemberSet, SegmentRecord, State


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was adopted: the address, its name on the wire, members, rows that repeat another."""

    address: str
    key: str
    members: int
    duplicates: int


@dataclass(frozen=True, kw_only=True)
class MembersFile:
    """A file on the command line: one column of it holds user keys of one kind."""

    path: Path
    column: str = "identity"
    kind: Kind = Kind.IDENTITY


def import_segment(
    context: Context,
    address: str,
    *,
    members: MembersFile | None,
    ct_segment_id: int | None = None,
    variables: Mapping[str, str],
    lock_timeout: float = 0.0,
    observe: Observer = ignore,
) -> Imported:
    """Record a declared segment as existing, with the members in a file.

    With ``ct_segment_id`` the segment goes by CleverTap's id from then on, without
    it by its ``customerSegmentId``.  Raises ``InvalidInput`` for a file with problems,
    ``Stop`` where the segment is not declared, or recorded already.
    """
    loaded = workspaces.load(context.root, variables=variables, environment=context.environment)
    if loaded.desired is None:
        raise InvalidInput(loaded.diagnostics)
    segment = next((s for s in loaded.desired.segments if s.address == address), None)
    if segment is None:
        raise WrongUsage(
            f"{address} is not declared in the workspace",
            hint="Write its manifest first; `segctl import` records what exists of it.",
        )
    with locked(context, timeout=lock_timeout, observe=observe) as work:
        state = work.held.state
        key = segment.customer_segment_id if ct_segment_id is None else f"ct:{ct_segment_id}"
        _check_unknown(state, segment, key)
        engine = work.desk.engine()
        stats, folded = _read(engine, members)
        record = SegmentRecord(
            customer_segment_id=segment.customer_segment_id if ct_segment_id is None else None,
            ct_segment_id=ct_segment_id,
            declared_name=segment.display_name,
            remote_name=segment.display_name,
            managed=segment.managed,
            labels=dict(segment.labels),
            guards=segment.guards,
            lifecycle=segment.lifecycle,
            members=_kept(work, folded),
        )
        recording.write(work.backend, work.held, _with(state, address, record))
    return Imported(
        address=address,
        key=record.key,
        members=record.members.digest.count,
        duplicates=stats.duplicates if stats else 0,
    )


def _check_unknown(state: State, segment: DesiredSegment, key: str) -> None:
    if segment.address in state.segments:
        raise Stop(
            f"{segment.address} is recorded already",
            hint=f"To record it anew, forget it first: `segctl state rm {segment.address}`.",
        )
    owner = next((a for a, r in state.segments.items() if r.key == key), None)
    if owner:
        raise Stop(
            f"the segment {key} is recorded already, at {owner}",
            hint=f"`segctl state mv {owner} {segment.address}` gives it another address.",
        )


def _read(engine: Engine, members: MembersFile | None) -> tuple[LoadStats | None, Folded | None]:
    if members is None:
        return None, None
    shown = str(members.path)
    format_ = format_of(shown)
    if format_ is None:
        raise WrongUsage(
            f"{shown}: the extension tells no format",
            hint="Name it .csv, .tsv, .jsonl, .parquet or .txt; .gz may follow.",
        )
    if not members.path.is_file():
        raise Stop(f"there is no file {shown}")
    scan = Scan(
        paths=(members.path.resolve(),), format=format_, column=members.column, kind=members.kind
    )
    try:
        number = engine.load(scan, targets=[0])
        engine.record(0, Recorded(), wanted=True)
        stats = engine.diff().loads[number]
    except RowsUnreadable as error:
        at = f":{error.line}" if error.line else ""
        raise InvalidInput(
            [
                Diagnostic(
                    code=error.code, summary=f"{shown}{at}: {error.summary}", detail=error.detail
                )
            ]
        ) from error
    if stats.invalid:
        raise InvalidInput(
            [
                Diagnostic(
                    code=f"invalid-identity-{problem}",
                    summary=f"{shown}: {rows:,} row{'' if rows == 1 else 's'} with "
                    f"{DESCRIPTIONS[problem]}, the first is row {stats.first.get(problem, 0):,}",
                    detail="Mend the file; nothing was recorded.",
                )
                for problem, rows in stats.invalid.items()
            ]
        )
    return stats, engine.keep_desired(0)


def _kept(work: Locked, folded: Folded | None) -> MemberSet:
    if folded is None or folded.base is None:
        return MemberSet()
    base = work.backend.add_file(folded.base, rows=folded.digest.count)
    return MemberSet(digest=folded.digest, base=base)


def _with(state: State, address: str, record: SegmentRecord) -> State:
    if not state.lineage:
        state = replace(state, lineage=str(uuid.uuid4()))
    return state.next(
        segments=dict(sorted({**state.segments, address: record}.items())),
        tombstones=tuple(t for t in state.tombstones if t.record.key != record.key),
        unfinished=None,
    )
