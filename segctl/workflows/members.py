"""Members: who is in a segment, how many, how sets overlap, and where one user is.

Nothing is sent or changed, and no lock is taken. *Recorded* members are those of the state,
*desired* ones are computed from the sources as a plan computes them.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from segctl.core.address import is_targeted, segment_address
from segctl.core.errors import OperationError, WrongUsage
from segctl.core.events import Recovered
from segctl.core.identity import PROBLEM_DESCRIPTIONS, Kind, find_problem
from segctl.core.member_sets import (
    Overlap,
    SegmentOfUser,
    SegmentSet,
    SetDifference,
    SourceOfUser,
)
from segctl.core.suggestions import did_you_mean
from segctl.engine.model import FoundUser, MemberList
from segctl.engine.protocols import Engine
from segctl.manifests.desired import DesiredSegment, DesiredState, Load, TableLoad
from segctl.plan.model import Finding
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.load import load_state, read_stable
from segctl.session.loaded_state import LoadedState
from segctl.state.model import SegmentRecord
from segctl.workflows.plan import check_account, service_host
from segctl.workflows.validate import load_desired

Choice = Literal["recorded", "desired", "both", "either"]
"""Which members: recorded, desired, both to compare them, or recorded if there is a record."""

MAX_PAIRS = 10_000
"""The most pairs of segments that one table of overlaps has."""

_GLOB_CHARACTERS = "*?["

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OpenMembers:
    """The sets that were asked for, and an engine that answers questions about them.

    ``findings`` are warnings about the sources. ``recovered`` is what the journal of an
    unfinished apply adds to the recorded members.
    """

    sets: tuple[SegmentSet, ...]
    findings: tuple[Finding, ...] = ()
    recovered: Recovered | None = None
    _engine: Engine | None = field(default=None, repr=False)

    def has_guids(self, of: SegmentSet) -> bool:
        """Return whether a set has a member that is a guid."""
        return self._engine is not None and self._engine.has_guids(of.target_index)

    def iter_lines(
        self,
        of: SegmentSet,
        *,
        masked: bool,
        with_kind: bool = False,
        sample: int | None = None,
    ) -> Generator[str, None, None]:
        """Yield the members of a set in pieces of whole lines, not escaped.

        Each is a value, and after a tab its kind if ``with_kind``. Raises ``StateDamaged``.
        """
        if self._engine is None:
            return
        wanted = MemberList(masked=masked, with_kind=with_kind, sample=sample)
        rest = b""
        for piece in self._engine.iter_lines(of.target_index, wanted):
            lines, end, rest_of_piece = piece.rpartition(b"\n")
            if end:
                yield (rest + lines + end).decode("utf-8", "backslashreplace")
                rest = rest_of_piece
            else:
                rest += piece

    def overlaps(
        self, lefts: Sequence[SegmentSet], rights: Sequence[SegmentSet]
    ) -> tuple[Overlap, ...]:
        """Return how many users each left and right set share; each pair of sets once."""
        pairs = _pairs(lefts, rights)
        shared: Mapping[tuple[int, int], int] = {}
        if self._engine is not None and pairs:
            shared = self._engine.count_shared(
                {s.target_index for s in lefts}, {s.target_index for s in rights}
            )
        return tuple(
            Overlap(
                left=left,
                right=right,
                shared=shared.get((left.target_index, right.target_index))
                or shared.get((right.target_index, left.target_index), 0),
            )
            for left, right in pairs
        )

    def differences(self) -> tuple[SetDifference, ...]:
        """Return for each segment how its recorded and its desired members differ."""
        recorded = {s.address: s for s in self.sets if s.which == "recorded"}
        desired = {s.address: s for s in self.sets if s.which == "desired"}
        shared: Mapping[tuple[int, int], int] = {}
        if self._engine is not None and recorded and desired:
            shared = self._engine.count_shared_in_pairs(
                [
                    (recorded[a].target_index, desired[a].target_index)
                    for a in recorded.keys() & desired.keys()
                ]
            )
        return tuple(
            _difference(address, recorded.get(address), desired.get(address), shared)
            for address in sorted({*recorded, *desired})
        )


def _difference(
    address: str,
    recorded: SegmentSet | None,
    desired: SegmentSet | None,
    shared: Mapping[tuple[int, int], int],
) -> SetDifference:
    pair = recorded and desired and (recorded.target_index, desired.target_index)
    return SetDifference(
        address=address,
        recorded=recorded.count if recorded else 0,
        desired=desired.count if desired else 0,
        shared=shared.get(pair, 0) if pair else 0,
        uncertain=recorded.uncertain if recorded else 0,
        refused=recorded.refused if recorded else 0,
    )


def _pairs(
    lefts: Sequence[SegmentSet], rights: Sequence[SegmentSet]
) -> list[tuple[SegmentSet, SegmentSet]]:
    pairs: dict[frozenset[int], tuple[SegmentSet, SegmentSet]] = {}
    for left in lefts:
        for right in rights:
            if left is not right:
                pairs.setdefault(frozenset((left.target_index, right.target_index)), (left, right))
    return list(pairs.values())


@dataclass(frozen=True, kw_only=True)
class _Targets:
    """The sets to open: target indexes by address, and the records of the recorded ones."""

    recorded: Mapping[str, int]
    desired: Mapping[str, int]
    records: Mapping[str, SegmentRecord]


@contextmanager
def open_members(
    context: Context,
    patterns: Sequence[str],
    choice: Choice,
    *,
    variables: Mapping[str, str],
    counts_only: bool = False,
) -> Iterator[OpenMembers]:
    """Open the sets of the segments that ``patterns`` name, in the order of their addresses.

    With ``counts_only`` and recorded members, no member file is read. Without a state, the desired
    members need none. Raises ``WrongUsage`` for a name that no segment has, ``OperationError`` for
    a segment whose members are not known, ``InvalidInput`` for sources that cannot be read, and
    what reading the state raises.
    """
    with engine_session(context.limits) as session:

        def read(loaded: LoadedState | None) -> OpenMembers:
            return _open(
                context,
                session,
                loaded,
                patterns=patterns,
                choice=choice,
                variables=variables,
                counts_only=counts_only,
            )

        yield _read_state(context, session, choice, read)


def _read_state(
    context: Context,
    session: EngineSession,
    choice: Choice,
    read: Callable[[LoadedState | None], T],
) -> T:
    """Call ``read`` with the state, or without one if only desired members are asked for."""
    if choice == "desired":
        return read(None)
    backend = context.backend()

    def load_and_read() -> T:
        return read(load_state(backend, session.open_engine, now=context.clock.now()))

    return read_stable(backend, load_and_read)


def _open(
    context: Context,
    session: EngineSession,
    loaded: LoadedState | None,
    *,
    patterns: Sequence[str],
    choice: Choice,
    variables: Mapping[str, str],
    counts_only: bool,
) -> OpenMembers:
    records = _records(loaded)
    desired = _load_desired_if_needed(context, records, patterns, choice, variables)
    if loaded and desired:
        check_account(loaded.state, context.account, service_host(desired))
    targets = _find_targets(records, desired, patterns, choice)
    engine: Engine | None = None
    findings: tuple[Finding, ...] = ()
    if targets.desired or not counts_only:
        engine, findings, _ = _open_engine(context, session, loaded, desired, targets)
    counts = engine.count_sets(list(targets.desired.values())) if engine else {}
    sets = [
        SegmentSet(
            address=address,
            which="recorded",
            target_index=index,
            count=targets.records[address].members.digest.count,
            uncertain=targets.records[address].pairs.uncertain,
            refused=targets.records[address].pairs.refused,
        )
        for address, index in targets.recorded.items()
    ] + [
        SegmentSet(address=address, which="desired", target_index=index, count=counts[index])
        for address, index in targets.desired.items()
    ]
    return OpenMembers(
        sets=tuple(sorted(sets, key=lambda s: (s.address, s.target_index))),
        findings=findings,
        recovered=loaded.recovered if loaded else None,
        _engine=engine,
    )


def _open_engine(
    context: Context,
    session: EngineSession,
    loaded: LoadedState | None,
    desired: DesiredState | None,
    targets: _Targets,
    *,
    user: str | None = None,
) -> tuple[Engine, tuple[Finding, ...], Mapping[int, Load]]:
    """Return an engine with the sets, the warnings about the sources, and the loads by number."""
    from segctl.planning.desired_members import compute_desired  # noqa: PLC0415 - heavy
    from segctl.planning.source_context import open_source_context  # noqa: PLC0415 - as above

    engine = session.open_engine()
    if user is not None:
        engine.ask_for(user)
    if loaded:
        files = loaded.recorded()
        for address, index in targets.recorded.items():
            engine.set_recorded(index, files[targets.records[address].key], wanted=False)
    if not desired or not targets.desired:
        engine.open_sets(())
        return engine, (), {}
    computed = compute_desired(
        desired,
        targets.desired,
        open_source_context(
            desired.project,
            engine=lambda: engine,
            root=context.root,
            scratch=session.scratch,
            environment=context.environment,
            memory=context.limits.memory,
        ),
    )
    return engine, computed.findings, computed.loads


# Which segments


def _records(loaded: LoadedState | None) -> Mapping[str, SegmentRecord]:
    """Return the records by address; those of destroyed segments if the address has no other."""
    if loaded is None:
        return {}
    state = loaded.state
    destroyed = {t.address: t.record for t in state.tombstones}
    return {**destroyed, **state.segments}


def _load_desired_if_needed(
    context: Context,
    records: Mapping[str, SegmentRecord],
    patterns: Sequence[str],
    choice: Choice,
    variables: Mapping[str, str],
) -> DesiredState | None:
    """Load the manifests, unless only records are asked for."""
    if choice == "recorded":
        return None
    is_recorded = all(not is_glob(p) and _address(p) in records for p in patterns)
    return (
        None
        if choice == "either" and patterns and is_recorded
        else load_desired(context, variables)
    )


def _find_targets(
    records: Mapping[str, SegmentRecord],
    desired: DesiredState | None,
    patterns: Sequence[str],
    choice: Choice,
) -> _Targets:
    declared = {s.address: s for s in desired.segments} if desired else {}
    records = _with_moved(records, declared)
    known = declared.keys() if choice == "desired" else {**records, **declared}.keys()
    addresses = _select(patterns, known, declared, records, choice)
    recorded: dict[str, int] = {}
    wanted: dict[str, int] = {}
    is_exact = {_address(p) for p in patterns if not is_glob(p)}
    for address in addresses:
        segment, record = declared.get(address), records.get(address)
        is_managed = segment.managed if segment else bool(record and record.managed)
        if not is_managed:
            if address in is_exact:
                raise OperationError(
                    f"{address} is declared with `members: unmanaged`: segctl does not know its "
                    "members",
                    hint="CleverTap's dashboard shows them.",
                )
            continue
        if record and choice != "desired":
            recorded[address] = len(recorded) + len(wanted)
        if segment and (choice in ("desired", "both") or (choice == "either" and not record)):
            wanted[address] = len(recorded) + len(wanted)
    return _Targets(recorded=recorded, desired=wanted, records=records)


def _with_moved(
    records: Mapping[str, SegmentRecord], declared: Mapping[str, DesiredSegment]
) -> Mapping[str, SegmentRecord]:
    """Return the records by the addresses that their segments are declared with now.

    A segment whose manifest has another name keeps its record, as a plan finds it.
    """
    free = {r.key: a for a, r in records.items() if a not in declared}
    moved = {
        segment.address: free[segment.customer_segment_id]
        for segment in declared.values()
        if segment.address not in records and segment.customer_segment_id in free
    }
    kept = {a: r for a, r in records.items() if a not in moved.values()}
    return kept | {address: records[before] for address, before in moved.items()}


def _select(
    patterns: Sequence[str],
    known: Iterable[str],
    declared: Mapping[str, DesiredSegment],
    records: Mapping[str, SegmentRecord],
    choice: Choice,
) -> list[str]:
    addresses = sorted(known)
    for pattern in patterns:
        found = [a for a in addresses if is_targeted(a, [pattern])]
        if not found:
            raise _unknown(pattern, addresses, declared, records, choice)
    return [a for a in addresses if is_targeted(a, patterns)]


def _unknown(
    pattern: str,
    addresses: Sequence[str],
    declared: Mapping[str, DesiredSegment],
    records: Mapping[str, SegmentRecord],
    choice: Choice,
) -> WrongUsage:
    names = {s.display_name: a for a, s in declared.items()}
    names |= {s.customer_segment_id: a for a, s in declared.items()}
    names |= {r.remote_name: a for a, r in records.items()}
    names |= {r.key: a for a, r in records.items()}
    where = {
        "recorded": "the state has no segment",
        "desired": "the workspace declares no segment",
    }.get(choice, "neither the workspace nor the state has a segment")
    if pattern in names:
        hint = f"{names[pattern]} is called that in CleverTap."
    else:
        short = [a.removeprefix(segment_address("")) for a in addresses]
        hint = did_you_mean(pattern, addresses) or did_you_mean(pattern, short)
    return WrongUsage(
        f"{where} {pattern}", hint=hint or "`segctl members --count` lists all of them."
    )


def is_glob(pattern: str) -> bool:
    """Return whether a pattern can match several addresses."""
    return any(c in pattern for c in _GLOB_CHARACTERS)


def _address(pattern: str) -> str:
    prefix = segment_address("")
    return pattern if pattern.startswith(prefix) else prefix + pattern


def matching(sets: Iterable[SegmentSet], patterns: Collection[str]) -> tuple[SegmentSet, ...]:
    """Return the sets whose addresses match one of the patterns; all without patterns."""
    return tuple(s for s in sets if is_targeted(s.address, patterns))


def check_pairs(lefts: Sequence[SegmentSet], rights: Sequence[SegmentSet]) -> None:
    """Raise ``WrongUsage`` if there are no pairs of segments to compare, or too many."""
    if len(lefts) * len(rights) > 2 * MAX_PAIRS:
        raise WrongUsage(
            f"this compares more than {MAX_PAIRS:,} pairs of segments",
            hint="Name fewer segments.",
        )
    if not any(left is not right for left in lefts for right in rights):
        raise WrongUsage(
            "there is nothing to compare: only one segment is named",
            hint="Name others after --overlap, such as --overlap 'rfm-*'.",
        )


# One user


def find_user(
    context: Context,
    value: str,
    patterns: Sequence[str],
    choice: Choice,
    *,
    variables: Mapping[str, str],
) -> tuple[SegmentOfUser, ...]:
    """Return the segments in which a user is recorded, desired, refused or left out, and why.

    Sources are read for this user only, so problems of other rows are not reported. Raises what
    ``open_members`` raises.
    """
    if problem := find_problem(value):
        raise WrongUsage(f"this is no user key: it has {PROBLEM_DESCRIPTIONS[problem]}")
    choice = "both" if choice == "either" else choice
    with engine_session(context.limits) as session:

        def read(loaded: LoadedState | None) -> tuple[SegmentOfUser, ...]:
            records = _records(loaded)
            desired = None if choice == "recorded" else load_desired(context, variables)
            if loaded and desired:
                check_account(loaded.state, context.account, service_host(desired))
            targets = _find_targets(records, desired, patterns, choice)
            engine, _, loads = _open_engine(context, session, loaded, desired, targets, user=value)
            has_user = engine.find_asked_in_loads()
            sources = _sources_by_address(
                {number: (loads[number], values) for number, values in has_user.items()}
            )
            return _segments_of_user(targets, engine.find_asked(), sources, choice)

        return _read_state(context, session, choice, read)


def _sources_by_address(
    found: Mapping[int, tuple[Load, tuple[str | None, ...]]],
) -> Mapping[str, tuple[SourceOfUser, ...]]:
    from segctl.planning.load import source_name  # noqa: PLC0415 - heavy

    sources: dict[str, list[SourceOfUser]] = {}
    for load, values in found.values():
        source = SourceOfUser(
            name=source_name(load),
            place=str(load.source.location),
            role="include" if isinstance(load, TableLoad) else load.role,
        )
        if isinstance(load, TableLoad):
            addresses = [load.segments[v] for v in values if v is not None and v in load.segments]
        else:
            addresses = list(load.addresses)
        for address in addresses:
            sources.setdefault(address, []).append(source)
    return {address: tuple(each) for address, each in sources.items()}


def _segments_of_user(
    targets: _Targets,
    found: Sequence[FoundUser],
    sources: Mapping[str, tuple[SourceOfUser, ...]],
    choice: Choice,
) -> tuple[SegmentOfUser, ...]:
    by_index = {index: a for a, index in [*targets.recorded.items(), *targets.desired.items()]}
    segments: dict[tuple[str, Kind], SegmentOfUser] = {}

    def segment(address: str, kind: Kind) -> SegmentOfUser:
        return segments.get((address, kind)) or SegmentOfUser(
            address=address,
            kind=kind,
            recorded=None if choice == "desired" else False,
            desired=None if choice == "recorded" else False,
            sources=sources.get(address, ()),
        )

    for user in found:
        if user.target_index not in by_index:
            continue  # a segment that is only read by one of these
        known = segment(by_index[user.target_index], user.kind)
        match user.what:
            case "recorded":
                known = replace(known, recorded=True)
            case "desired":
                known = replace(known, desired=True)
            case "uncertain" | "refused":
                known = replace(known, status=user.what, action=user.action)
            case _:
                known = replace(known, left_out=user.what)
        segments[known.address, known.kind] = known
    # A source has the user, and another one takes the user away before the members are computed.
    addresses = {address for address, _ in segments}
    for address in sources.keys() & targets.desired.keys() - addresses:
        if any(source.role == "include" for source in sources[address]):
            segments[address, Kind.IDENTITY] = segment(address, Kind.IDENTITY)
    return tuple(segments[key] for key in sorted(segments))
