"""An apply that was interrupted: its journal is merged into the state."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from segctl.backends.base import Backend
from segctl.backends.journal import HEADER_FIELDS, Journal
from segctl.backends.journal_lines import RESTORE_JOURNAL
from segctl.core.errors import StateDamaged
from segctl.core.events import Recovered
from segctl.core.outcomes import Ledger, Outcome, fold_records, restart_settle_time
from segctl.engine.protocols import OutcomeFolder
from segctl.plan import codec as plan_codec
from segctl.plan.model import Plan
from segctl.session.advance import ApplyInfo, reopen_approval
from segctl.session.loaded_state import LoadedState, load_head, write_head
from segctl.session.merge import StoreFile, merge_outcomes
from segctl.state.model import State


def recover_state(
    backend: Backend, open_engine: Callable[[], OutcomeFolder], *, now: float
) -> LoadedState:
    """Load the state; first finish an interrupted apply and write its head. Needs the lock.

    Raises ``StateDamaged`` if the journal does not belong to the state.
    """
    loaded = load_head(backend)
    backend.journals.remove_leftovers()
    journal = backend.journals.open(fence=True)
    if journal is None:
        return loaded
    if journal.id == loaded.state.folded:
        # The crash came after the head was written and before the journal was archived.
        archive_journal(journal)
        return loaded
    state, recovered = merge_journal(
        loaded,
        journal,
        open_engine(),
        store_file=lambda scratch, rows: backend.add_file(scratch, rows=rows),
        now=now,
    )
    if state is loaded.state:
        journal.remove()
    else:
        loaded = write_head(backend, loaded, state)
        archive_journal(journal)
    return replace(loaded, recovered=recovered)


def check_apply_header(header: Mapping[str, Any]) -> None:
    """Raise ``StateDamaged`` unless the header of a journal describes an apply."""
    if missing := [name for name in HEADER_FIELDS if name not in header]:
        raise StateDamaged(
            f'the journal cannot be read: its header has no "{missing[0]}"', hint=RESTORE_JOURNAL
        )


def check_ledger(ledger: Ledger, plan: Plan) -> None:
    """Raise ``StateDamaged`` unless outcomes can be those of a plan."""
    if not ledger.fits(requests=plan.requests.update, targets=len(plan.targets)):
        raise StateDamaged(
            "the journal cannot be read: it names requests or segments that its plan does not have",
            hint=RESTORE_JOURNAL,
        )


def archive_journal(journal: Journal) -> None:
    """Move a journal that the state now contains to the history, as evidence of what was sent."""
    journal.archive(serial=int(journal.header["serial"]) + 1)


def merge_journal(
    loaded: LoadedState,
    journal: Journal,
    engine: OutcomeFolder,
    *,
    store_file: StoreFile,
    now: float,
) -> tuple[State, Recovered]:
    """Return the state after an interrupted apply, and what is known of its requests.

    The state is the loaded one, unchanged, if the service did nothing. Raises ``StateDamaged``
    if the journal started from another state.
    """
    header = journal.header
    state = loaded.state
    check_apply_header(header)
    if (header["lineage"], header["serial"]) != (state.lineage, state.serial):
        raise StateDamaged(
            f"the interrupted apply started from serial {header['serial']} of the state, which "
            f"is now at serial {state.serial}",
            hint="Restore the state that the apply started from. The journal records what was "
            "sent.",
        )
    plan = plan_codec.decode_of_journal(header["plan"])
    ledger = restart_settle_time(fold_records(journal.records()), now=now)
    check_ledger(ledger, plan)
    run = ApplyInfo(
        journal=journal.id,
        now=float(header["at"]),
        account=header["account"],
        host=header["host"],
    )
    if not ledger.has_no_effect:
        state = merge_outcomes(
            loaded,
            plan,
            ledger,
            delta=journal.delta,
            engine=engine,
            store_file=store_file,
            run=run,
        )
        # Even if every request was acknowledged: the run died before it could report that,
        # so applying the same saved plan again must not be refused as stale.
        state = reopen_approval(replace(state, unfinished=plan.digest), plan)
    return state, Recovered(
        acknowledged=ledger.count(Outcome.ACKNOWLEDGED),
        uncertain=ledger.count(Outcome.UNCERTAIN),
    )
