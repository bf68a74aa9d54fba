"""Which segments a question about members is about, and which of their sets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from segctl.core.address import is_targeted, segment_address
from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError, WrongUsage
from segctl.core.suggestions import did_you_mean
from segctl.manifests.desired import DesiredSegment, DesiredState
from segctl.session.context import Context
from segctl.session.loaded_state import LoadedState
from segctl.state.model import SegmentRecord
from segctl.workflows.validate import load_desired

Choice = Literal["recorded", "desired", "both", "either"]
"""Which members: recorded, desired, both to compare them, or recorded if there is a record."""

_GLOB_CHARACTERS = "*?["


@dataclass(frozen=True, kw_only=True)
class MemberTargets:
    """The sets to open: target indexes by address, and the records of the recorded ones."""

    recorded: Mapping[str, int]
    desired: Mapping[str, int]
    records: Mapping[str, SegmentRecord]


def records_by_address(loaded: LoadedState | None) -> Mapping[str, SegmentRecord]:
    """Return the records by address; those of destroyed segments if the address has no other."""
    if loaded is None:
        return {}
    state = loaded.state
    destroyed = {t.address: t.record for t in state.tombstones}
    return {**destroyed, **state.segments}


def load_desired_if_needed(
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


def find_targets(
    records: Mapping[str, SegmentRecord],
    desired: DesiredState | None,
    patterns: Sequence[str],
    choice: Choice,
) -> MemberTargets:
    """Return the sets that ``choice`` means for the segments that ``patterns`` name.

    Segments with unmanaged members are left out if only a glob selects them. Raises ``WrongUsage``
    for a name that no segment has, ``OperationError`` for a named segment that is unmanaged.
    """
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
    return MemberTargets(recorded=recorded, desired=wanted, records=records)


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
