"""Import: record an existing segment with the members in a file. Nothing is sent.

This is how a team with existing segments starts. The file is trusted, since the service cannot
be asked who is in a segment.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location
from segctl.core.errors import InvalidInput, OperationError, StateDamaged, WrongUsage
from segctl.core.events import Observer, ignore_event
from segctl.core.identity import PROBLEM_DESCRIPTIONS, Kind
from segctl.engine.model import FoldedTarget, LoadStats, SourceError
from segctl.engine.protocols import MemberComparer
from segctl.manifests.desired import DesiredSegment, FileSource
from segctl.manifests.file_formats import infer_format
from segctl.manifests.object_urls import is_url, parse_object_url
from segctl.plan.blocks import imported_record
from segctl.planning.unchanged import (
    changed_file_error,
    file_fingerprint,
    single_source_basis,
    source_counts,
)
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.loaded_state import write_head
from segctl.session.locked_state import LockedState, locked_state
from segctl.sources.files import scan
from segctl.sources.object_store import ObjectFetcher
from segctl.sources.path_policy import PathPolicy
from segctl.state.model import MemberSet, SegmentRecord, State
from segctl.workflows.state import read_state
from segctl.workflows.validate import load_desired


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What was imported: address, wire name, members, and duplicate rows."""

    address: str
    key: str
    members: int
    duplicates: int


@dataclass(frozen=True, kw_only=True)
class MembersFile:
    """Files named on the command line; one column has keys of one kind.

    ``path`` is a file, a folder, a pattern, or an object URL.
    """

    path: str
    column: str = "identity"
    kind: Kind = Kind.IDENTITY


def import_segment(
    context: Context,
    address: str,
    *,
    members: MembersFile | None,
    ct_segment_id: int | None = None,
    variables: Mapping[str, str],
    dry_run: bool = False,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> ImportResult:
    """Record a declared segment as existing, with the members in a file.

    With ``ct_segment_id`` requests name the segment by CleverTap's id, otherwise by its
    ``customerSegmentId``. A dry run checks and reads the same, takes no lock and writes nothing.
    Raises ``InvalidInput`` for problems in the file, ``WrongUsage`` if
    the segment is not declared, ``OperationError`` if it is already recorded.
    """
    desired = load_desired(context, variables)
    segment = next((s for s in desired.segments if s.address == address), None)
    if segment is None:
        raise WrongUsage(
            f"{address} is not declared in the workspace",
            hint="Write its manifest first; `segctl import` then records what exists.",
        )
    record = imported_record(segment, ct_segment_id=ct_segment_id)
    if dry_run:
        _check_not_recorded(read_state(context), segment, record.key)
        with engine_session(context.limits) as session:
            return _result(segment, record, _read(session, members))
    with locked_state(context, timeout=lock_timeout, observe=observe) as locked:
        state = locked.loaded.state
        _check_not_recorded(state, segment, record.key)
        read = _read(locked.session, members)
        record = replace(record, members=_store_members(locked, read.folded if read else None))
        sources = dict(state.sources)
        if read and read.source:
            record = replace(record, basis=single_source_basis(read.source, record.members.digest))
            sources[read.source] = source_counts(read.stats)
        state = replace(state, sources=sources)
        write_head(locked.backend, locked.loaded, _add_segment(state, address, record))
    return _result(segment, record, read)


def _read(session: EngineSession, members: MembersFile | None) -> "_ReadMembers | None":
    return _read_members(session.open_engine(), members, session.scratch) if members else None


def _result(
    segment: DesiredSegment, record: SegmentRecord, read: "_ReadMembers | None"
) -> ImportResult:
    return ImportResult(
        address=segment.address,
        key=record.key,
        members=read.folded.digest.count if read else 0,
        duplicates=read.stats.duplicates if read else 0,
    )


def _check_not_recorded(state: State, segment: DesiredSegment, key: str) -> None:
    if segment.address in state.segments:
        raise OperationError(
            f"{segment.address} is already recorded",
            hint=f"To record it again, forget it first: `segctl state rm {segment.address}`.",
        )
    owner = next((a for a, r in state.segments.items() if r.key == key), None)
    if owner:
        raise OperationError(
            f"the segment {key} is already recorded as {owner}",
            hint=f"`segctl state mv {owner} {segment.address}` moves it to this address.",
        )


@dataclass(frozen=True, kw_only=True)
class _ReadMembers:
    """The members of a file. ``source`` is its fingerprint, or ``None``."""

    stats: LoadStats
    folded: FoldedTarget
    source: str | None


def _read_members(engine: MemberComparer, members: MembersFile, scratch: Path) -> _ReadMembers:
    # A file named on the command line may be anywhere.
    policy = PathPolicy(root=Path(), allowed=("/",), objects=ObjectFetcher(scratch))
    source = _file_source(members)
    try:
        rows = scan(source, policy)
        before = file_fingerprint(source, rows, policy)
        policy.download(rows.paths)
        stats, folded = engine.write_list(rows)
    except SourceError as error:
        raise InvalidInput([_read_problem(members, error, policy)]) from error
    except StateDamaged as error:
        raise InvalidInput([_read_problem(members, changed_file_error(), policy)]) from error
    if folded is None:
        raise InvalidInput(
            [
                Diagnostic(
                    code=f"invalid-identity-{problem}",
                    summary=f"{members.path}: {rows:,} row{'' if rows == 1 else 's'} with "
                    f"{PROBLEM_DESCRIPTIONS[problem]}, "
                    f"the first is row {stats.first_rows.get(problem, 0):,}"
                    + (
                        f" of {policy.display_name(stats.first_files[problem])}"
                        if problem in stats.first_files
                        else ""
                    ),
                    detail="Fix the file; nothing was recorded.",
                )
                for problem, rows in stats.invalid.items()
            ]
        )
    if before != file_fingerprint(source, rows, policy):
        raise InvalidInput([_read_problem(members, changed_file_error(), policy)])
    return _ReadMembers(stats=stats, folded=folded, source=before)


def _file_source(members: MembersFile) -> FileSource:
    return FileSource(
        path=members.path,
        format=infer_format(members.path),
        column=members.column,
        kind=members.kind,
        location=Location(file=members.path),
    )


def _read_problem(members: MembersFile, error: SourceError, policy: PathPolicy) -> Diagnostic:
    file = policy.display_name(error.file) if error.file else members.path
    at = f":{error.line}" if error.line else ""
    # A malformed URL could contain a password.
    is_named = file in error.summary or (is_url(file) and parse_object_url(file) is None)
    summary = error.summary if is_named else f"{file}{at}: {error.summary}"
    # What sources advise is is_named to authors of manifests, who may write a query and a field.
    detail = _ADVICE.get(error.code, error.detail.replace("as `column`", "by --column"))
    return Diagnostic(code=error.code, summary=summary, detail=detail)


_ADVICE: Mapping[str, str] = {
    "missing-file": "",
    "column-not-text": "Write identities as text: a number has no leading zeros.",
}


def _store_members(locked: LockedState, folded: FoldedTarget | None) -> MemberSet:
    if folded is None or folded.base is None:
        return MemberSet()
    base = locked.backend.add_file(folded.base, rows=folded.digest.count)
    return MemberSet(digest=folded.digest, base=base)


def _add_segment(state: State, address: str, record: SegmentRecord) -> State:
    if not state.lineage:
        state = replace(state, lineage=str(uuid.uuid4()))
    return state.next(
        segments=dict(sorted({**state.segments, address: record}.items())),
        tombstones=tuple(t for t in state.tombstones if t.record.key != record.key),
        unfinished=None,
    )
