"""Rejects: take the Error Stream's refusals into the state, list them, let go of them.

Accepted is not applied: the service answers success and skips entries that only its
dashboard tells of.  What was recorded on its word is corrected here, with the lock
held; nothing is sent.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segctl.backends import journal
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
from segctl.session.advance import record_rejects
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.session.load import load_state
from segctl.session.loaded_state import recorded_members, write_head
from segctl.session.locked_state import LockedState, locked_state
from segctl.session.merge import store_folded
from segctl.state.model import SegmentRecord

LARGEST_STREAM = 512 << 20
"""Bytes of a stream that are read at once; it is held in memory."""

_NONE = -1


def load_rejects(
    context: Context, file: Path, *, lock_timeout: float = 0.0, observe: Observer = ignore_event
) -> RejectsResult:
    """Mark what the Error Stream in ``file`` names as refused.

    Raises ``InvalidInput`` with all problems of the file, ``StateLocked``,
    ``StateDamaged``, ``OperationError``.
    """
    name = file.relative_to(context.root) if file.is_relative_to(context.root) else file
    rejects = parse_error_stream(_read(file), file=name.as_posix())
    with _work(context, lock_timeout, observe) as work:
        state = work.loaded.state
        targets = [work.target_of(label) for label in rejects.details]
        rejected = work.session.open_engine().match_rejects(
            work.recorded(),
            rejects=rejects,
            target_indexes=targets,
            applies=work.applies(),
            now=context.clock.now(),
        )
        missing = frozenset(
            work.keys[targets[label]]
            for label in rejected.matched_details
            if rejects.details[label].type == SEGMENT_NOT_FOUND
        )
        work.save(rejected.folded, missing=missing)
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
    """Let refused pairs be sent again, all or those refused for the reason ``type_``.

    A segment that was missing is taken for restored, unless ``type_`` is another reason.
    """
    with _work(context, lock_timeout, observe) as work:
        picked = {
            record.key for a, record in work.loaded.state.records() if is_targeted(a, targets)
        }
        where = {n: r for n, r in work.recorded().items() if work.keys[n] in picked}
        folded = work.session.open_engine().release_quarantined(where, error_type=type_)
        pairs = sum(work.records[n].pairs.refused - f.refused for n, f in folded.items())
        found = {key for key in picked if work.by_key[key].missing}
        if type_ is not None and type_.upper() != SEGMENT_NOT_FOUND:
            found.clear()
        addresses = sorted(a for a, r in work.loaded.state.records() if r.key in found)
        work.save(folded, found=frozenset(found))
        return RetryResult(pairs=pairs, segments=len(folded), found=tuple(addresses))


def list_quarantined(
    context: Context, *, targets: tuple[str, ...] = ()
) -> Iterator[QuarantinedMembership]:
    """Give every pair in quarantine, by address; writes nothing."""
    with engine_session(context.limits) as at:
        loaded = load_state(context.backend(), at.open_engine, now=context.clock.now())
        picked = sorted(
            (item for item in loaded.state.records() if is_targeted(item[0], targets)), key=_address
        )
        where = {
            n: recorded_members(record, loaded.locate)
            for n, (_, record) in enumerate(picked)
            if record.pairs.refused
        }
        if where:
            for pair in at.open_engine().iter_quarantined(where):
                yield QuarantinedMembership(
                    address=picked[pair.target_index][0],
                    action=pair.action,
                    kind=pair.kind,
                    value=pair.value,
                    type=pair.error_type,
                    at=pair.refused_at,
                )


def _address(item: tuple[str, SegmentRecord]) -> str:
    return item[0]


def _read(file: Path) -> bytes:
    with translate_os_errors(f"read {file}"), open_file(file) as stream:
        data = stream.read(LARGEST_STREAM + 1)
    if len(data) > LARGEST_STREAM:
        raise OperationError(
            f"{file} is larger than {LARGEST_STREAM >> 20} MB",
            hint="Split it, and load the parts one by one, the oldest first.",
        )
    return data


@contextmanager
def _work(context: Context, timeout: float, observe: Observer) -> Iterator["_Work"]:
    """Hold the lock, unless nothing was ever sent."""
    with engine_session(context.limits) as at:
        if not load_state(context.backend(), at.open_engine, now=context.clock.now()).state.lineage:
            raise OperationError(
                "the state is empty: nothing was ever sent from here",
                hint="Run it in the workspace whose apply was refused, or name that with -C.",
            )
    with locked_state(context, timeout=timeout, observe=observe) as place:
        yield _Work(place)


class _Work:
    """The state under the lock: its records numbered, as the engine knows them."""

    def __init__(self, place: LockedState) -> None:
        self.backend = place.backend
        self.loaded = place.loaded
        self.session = place.session
        self.records = [record for _, record in self.loaded.state.records()]
        self.by_key = {r.key: r for r in self.records}
        self.keys = [record.key for record in self.records]

    def recorded(self) -> dict[int, RecordedFiles]:
        """Give where the members of each record stand."""
        at = self.loaded.recorded()
        return {number: at[key] for number, key in enumerate(self.keys)}

    def target_of(self, label: RejectDetails) -> int:
        """Give the number of the segment that a reject names; -1 where it is none of ours.

        Both ids of a row must fit what is recorded: a row with another's id is about a
        request that was not ours.
        """
        state = self.loaded.state
        if label.account and state.account and label.account != state.account:
            return _NONE
        for number, record in enumerate(self.records):
            ours = record.customer_segment_id, _text(record.ct_segment_id)
            told = label.customer_segment_id, label.ct_segment_id
            both = [
                (a, b) for a, b in zip(ours, told, strict=True) if a is not None and b is not None
            ]
            if both and all(a == b for a, b in both):
                return number
        return _NONE

    def applies(self) -> Iterable[SentApply]:
        """Give the applies that were kept, newest first, each when it is asked for."""
        state = self.loaded.state
        numbers = {key: number for number, key in enumerate(self.keys)}
        for ended in journal.archived_applies(self.backend.applies_folder()):
            header = ended.header
            if header["lineage"] not in ("", state.lineage):
                continue
            plan = plan_codec.decode(header["plan"])
            yield SentApply(
                delta=ended.delta,
                ledger=fold_records(ended.records()),
                target_indexes={
                    place: numbers[target.key]
                    for place, target in enumerate(plan.targets)
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
        """Take what changed into the state, one serial further; write nothing where nothing did."""
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
