"""Find the key of the hashes that name members, where a state is not needed otherwise."""

from contextlib import suppress

from segctl.core.errors import OperationError
from segctl.session.context import Context
from segctl.session.loaded_state import load_head


def find_member_key(context: Context, *, lineage: str | None = None) -> str:
    """Return the key in the state, or an empty text without a state that can be read.

    With ``lineage``, also for a state of another history: nothing could look its hashes up.
    """
    if lineage == "":
        return ""
    with suppress(OperationError):
        state = load_head(context.backend()).state
        if lineage in (None, state.lineage):
            return state.member_key
    return ""
