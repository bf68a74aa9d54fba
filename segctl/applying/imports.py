"""Record the segments that a plan imports, as the first step of its apply. Nothing is sent."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from segctl.plan.model import Plan
from segctl.session.advance import record_imports
from segctl.session.loaded_state import LoadedState, write_head
from segctl.session.locked_state import LockedState
from segctl.state.model import MemberSet


def record_plan_imports(locked: LockedState, plan: Plan, files: Mapping[int, Path]) -> LoadedState:
    """Write a head with the imported segments and their members, and return the new state.

    ``files`` are the base files of the imported segments by target index; they are moved into the
    state. Returns the loaded state if there is nothing to record: the plan imports nothing, or an
    earlier apply of this plan recorded it.
    """
    loaded = locked.loaded
    recorded = {record.key for record in loaded.state.segments.values()}
    members = {
        index: MemberSet(
            digest=change.imported,
            base=locked.backend.add_file(files[index], rows=change.imported.count),
        )
        for change in plan.changes
        if change.imported is not None
        and (index := change.target) in files
        and index is not None
        and plan.targets[index].key not in recorded
    }
    state = record_imports(loaded.state, plan, members)
    if state is loaded.state:
        return loaded
    if not state.lineage:
        state = replace(state, lineage=str(uuid.uuid4()))
    return write_head(locked.backend, loaded, state)
