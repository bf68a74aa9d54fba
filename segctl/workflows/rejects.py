"""Rejects: load the Error Stream's refusals into the state, list them, release them.

Accepted is not applied: the service can answer success and skip entries, which only its
dashboard reports. What was recorded as applied is corrected here, under the lock. Nothing is
sent.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segctl.core.address import is_targeted
from segctl.core.disk import open_file, translate_os_errors
from segctl.core.error_stream import parse_error_stream
from segctl.core.errors import OperationError
from segctl.core.events import Observer, ignore_event
from segctl.core.outcomes import fold_records
from segctl.core.rejects import (
    SEGMENT_NOT_FOUND,
    QuarantinedMembership,
    RejectDetails,
    RejectsResult,
    RetryResult,
)
from segctl.engine.model import FoldedTarget, RecordedFiles, SentApply
from segctl.plan import codec as plan_codec
from segctl.plan.targeting import check_patterns
from segctl.session.advance import record_rejects
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.session.load import load_state
from segctl.session.loaded_state import recorded_members, write_head
from segctl.session.locked_state import LockedState, locked_state
from segctl.session.merge import store_folded
from segctl.session.recovery import check_apply_header, check_ledger
from segctl.state.model import SegmentRecord

LARGEST_STREAM = 512 << 20
"""The largest stream, in bytes. It is held in memory."""

_NOT_OURS = -1


def load_rejects(
    context: Context, file: Path, *, lock_timeout: float = 0.0, observe: Observer = ignore_event
) -> RejectsResult:
    """Quarantine the memberships that the Error Stream in ``file`` reports.

    Raises ``InvalidInput`` with all problems of the file, ``StateLocked``,
    ``StateDamaged``, ``OperationError``.
    """
    name = file.relative_to(context.root) if file.is_relative_to(context.root) else file
    rejects = parse_error_stream(_read_stream(file), file=name.as_posix())
    with _lock_records(context, lock_timeout, observe) as records:
        state = records.loaded.state
        targets = [records.record_index(details) for details in rejects.details]
        rejected = records.session.open_engine().match_rejects(
            records.recorded(),
            rejects=rejects,
            target_indexes=targets,
            applies=records.applies(),
            now=context.clock.now(),
        )
        missing = frozenset(
            records.keys[targets[index]]
            for index in rejected.matched_details
            if rejects.details[index].type == SEGMENT_NOT_FOUND
        )
        records.save(rejected.folded, missing=missing)
        return RejectsResult(
            rows=len(rejects),
            adds=rejected.adds,
            removes=rejected.removes,
            known=rejected.known,
            older=rejected.older,
            unmatched=rejected.unmatched,
            missing=tuple(sorted(a for a, r in state.records() if r.key in missing)),
        )


def retry_rejects(
    context: Context,
    *,
    targets: tuple[str, ...] = (),
    type_: str | None = None,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> RetryResult:
    """Release quarantined pairs, so that they are sent again: all, or those of reason ``type_``.

    Segments marked as missing count as restored, unless ``type_`` is another reason.
    """
    with _lock_records(context, lock_timeout, observe) as records:
        addresses = [address for address, _ in records.loaded.state.records()]
        check_patterns(targets, addresses, kind="recorded")
        matching = {
            record.key for a, record in records.loaded.state.records() if is_targeted(a, targets)
        }
        quarantined = {n: r for n, r in records.recorded().items() if records.keys[n] in matching}
        folded = records.session.open_engine().release_quarantined(quarantined, error_type=type_)
        pairs = sum(records.records[n].pairs.refused - f.refused for n, f in folded.items())
        found = {key for key in matching if records.by_key[key].missing}
        if type_ is not None and type_.upper() != SEGMENT_NOT_FOUND:
            found.clear()
        addresses = sorted(a for a, r in records.loaded.state.records() if r.key in found)
        records.save(folded, found=frozenset(found))
        return RetryResult(pairs=pairs, segments=len(folded), found=tuple(addresses))


def list_quarantined(
    context: Context, *, targets: tuple[str, ...] = ()
) -> Iterator[QuarantinedMembership]:
    """Yield every quarantined pair, by address. Writes nothing.

    Raises ``WrongUsage`` for a pattern that matches nothing.
    """
    with engine_session(context.limits) as session:
        loaded = load_state(context.backend(), session.open_engine, now=context.clock.now())
        addresses = [address for address, _ in loaded.state.records()]
        check_patterns(targets, addresses, kind="recorded")
        matching = sorted(
            (item for item in loaded.state.records() if is_targeted(item[0], targets)), key=_address
        )
        quarantined = {
            n: recorded_members(record, loaded.locate)
            for n, (_, record) in enumerate(matching)
            if record.pairs.refused
        }
        if quarantined:
            for pair in session.open_engine().iter_quarantined(quarantined):
                yield QuarantinedMembership(
                    address=matching[pair.target_index][0],
                    action=pair.action,
                    kind=pair.kind,
                    value=pair.value,
                    type=pair.error_type,
                    at=pair.refused_at,
                )


def _address(item: tuple[str, SegmentRecord]) -> str:
    return item[0]


def _read_stream(file: Path) -> bytes:
    with translate_os_errors(f"read {file}"), open_file(file) as stream:
        data = stream.read(LARGEST_STREAM + 1)
    if len(data) > LARGEST_STREAM:
        raise OperationError(
            f"{file} is larger than {LARGEST_STREAM >> 20} MB",
            hint="Split it and load the parts one by one, oldest first.",
        )
    return data


@contextmanager
def _lock_records(
    context: Context, timeout: float, observe: Observer
) -> Iterator["_LockedRecords"]:
    """Lock the state. Raises ``OperationError`` if nothing was ever sent."""
    with engine_session(context.limits) as session:
        if not load_state(
            context.backend(), session.open_engine, now=context.clock.now()
        ).state.lineage:
            raise OperationError(
                "the state is empty: nothing was ever sent from this workspace",
                hint="Run this in the workspace that sent the requests, or name it with -C.",
            )
    with locked_state(context, timeout=timeout, observe=observe) as locked:
        yield _LockedRecords(locked)


class _LockedRecords:
    """The locked state, with its records numbered for the engine."""

    def __init__(self, locked: LockedState) -> None:
        self.backend = locked.backend
        self.loaded = locked.loaded
        self.session = locked.session
        self.records = [record for _, record in self.loaded.state.records()]
        self.by_key = {r.key: r for r in self.records}
        self.keys = [record.key for record in self.records]

    def recorded(self) -> dict[int, RecordedFiles]:
        """Return the member files of each record, by its number."""
        files = self.loaded.recorded()
        return {number: files[key] for number, key in enumerate(self.keys)}

    def record_index(self, details: RejectDetails) -> int:
        """Return the number of the segment that a reject names, or -1 if it is not recorded.

        Both ids of a row must match: a row with another id is about another client's request.
        """
        state = self.loaded.state
        if details.account and state.account and details.account != state.account:
            return _NOT_OURS
        for number, record in enumerate(self.records):
            recorded = record.customer_segment_id, _text(record.ct_segment_id)
            reported = details.customer_segment_id, details.ct_segment_id
            known = [
                (a, b)
                for a, b in zip(recorded, reported, strict=True)
                if a is not None and b is not None
            ]
            if known and all(a == b for a, b in known):
                return number
        return _NOT_OURS

    def applies(self) -> Iterable[SentApply]:
        """Yield the archived applies, newest first."""
        state = self.loaded.state
        numbers = {key: number for number, key in enumerate(self.keys)}
        for apply in self.backend.journals.archived():
            header = apply.header
            check_apply_header(header)
            if header["lineage"] not in ("", state.lineage):
                continue
            plan = plan_codec.decode_of_journal(header["plan"])
            ledger = fold_records(apply.records())
            check_ledger(ledger, plan)
            yield SentApply(
                delta=apply.delta,
                ledger=ledger,
                target_indexes={
                    index: numbers[target.key]
                    for index, target in enumerate(plan.targets)
                    if target.key in numbers
                },
                started_at=float(header["at"]),
            )

    def save(
        self,
        folded: Mapping[int, FoldedTarget],
        *,
        missing: frozenset[str] = frozenset(),
        found: frozenset[str] = frozenset(),
    ) -> None:
        """Write a new head with what changed, if anything did."""
        kept = {
            self.keys[number]: store_folded(
                self.records[number],
                part,
                lambda scratch, rows: self.backend.add_file(scratch, rows=rows),
            )
            for number, part in folded.items()
        }
        state = record_rejects(self.loaded.state, kept, missing=missing, found=found)
        if state is not self.loaded.state:
            write_head(self.backend, self.loaded, state)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
