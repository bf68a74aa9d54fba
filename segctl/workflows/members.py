"""Members: who is in a segment, how many, and how sets overlap.

Nothing is sent or changed, and no lock is taken. *Recorded* members are those of the state,
*desired* ones are computed from the sources as a plan computes them.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import TypeVar

from segctl.core.address import is_targeted
from segctl.core.dataclass import dataclass
from segctl.core.errors import WrongUsage
from segctl.core.events import Recovered
from segctl.core.member_sets import (
    Overlap,
    SegmentSet,
    SetDifference,
)
from segctl.engine.model import AskedUsers, MemberList
from segctl.engine.protocols import Engine
from segctl.manifests.desired import DesiredState, Load
from segctl.plan.model import Finding
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.load import load_state, read_stable
from segctl.session.loaded_state import LoadedState
from segctl.workflows.member_key import find_member_key
from segctl.workflows.member_selection import (
    Choice,
    MemberTargets,
    find_targets,
    load_desired_if_needed,
    records_by_address,
)
from segctl.workflows.plan import check_account, service_host

MAX_PAIRS = 10_000
"""The most pairs of segments that one table of overlaps has."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OpenMembers:
    """The sets that were asked for, and an engine that answers questions about them.

    ``findings`` are warnings about the sources. ``recovered`` is what the journal of an
    unfinished apply adds to the recorded members. ``member_key`` is the key of the hashes that
    name members, empty if the state has none.
    """

    sets: tuple[SegmentSet, ...]
    findings: tuple[Finding, ...] = ()
    recovered: Recovered | None = None
    member_key: str = field(default="", repr=False)
    _engine: Engine | None = field(default=None, repr=False)

    def has_guids(self, of: SegmentSet) -> bool:
        """Return whether a set has a member that is a guid."""
        return self._engine is not None and self._engine.has_guids(of.target_index)

    def iter_lines(
        self,
        of: SegmentSet,
        *,
        hashed: bool,
        with_kind: bool = False,
        sample: int | None = None,
    ) -> Generator[str, None, None]:
        """Yield the members of a set in pieces of whole lines, not escaped.

        Each is a value, or ``#`` and its hash, and after a tab its kind if ``with_kind``. Raises
        ``StateDamaged``.
        """
        if self._engine is None:
            return
        wanted = MemberList(
            hash_key=self.member_key if hashed else "", with_kind=with_kind, sample=sample
        )
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

        yield read_state_for(context, session, choice, read)


def read_state_for(
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
    records = records_by_address(loaded)
    desired = load_desired_if_needed(context, records, patterns, choice, variables)
    if loaded and desired:
        check_account(loaded.state, context.account, service_host(desired))
    targets = find_targets(records, desired, patterns, choice)
    engine: Engine | None = None
    findings: tuple[Finding, ...] = ()
    if targets.desired or not counts_only:
        engine, findings, _ = open_engine(context, session, loaded, desired, targets)
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
        member_key=loaded.state.member_key if loaded else find_member_key(context),
        _engine=engine,
    )


def open_engine(
    context: Context,
    session: EngineSession,
    loaded: LoadedState | None,
    desired: DesiredState | None,
    targets: MemberTargets,
    *,
    asked: AskedUsers | None = None,
) -> tuple[Engine, tuple[Finding, ...], Mapping[int, Load]]:
    """Return an engine with the sets, the warnings about the sources, and the loads by number."""
    from segctl.planning.desired_members import compute_desired  # noqa: PLC0415 - heavy
    from segctl.planning.source_context import open_source_context  # noqa: PLC0415 - as above

    engine = session.open_engine()
    if asked:
        engine.ask_for(asked)
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
