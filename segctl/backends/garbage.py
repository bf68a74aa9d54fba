"""Collect what the state no longer needs: member files that nothing names, heads grown old.

A member file is needed by the present head, by each earlier head that is kept, and by
the head from which an interrupted apply goes on, which is one of these.  Everything
else under ``members/`` that has a name of ours goes; other files are left alone.
Who may be at work meanwhile, and why nobody loses a file:

- *Another run that writes* holds the lock, or waits for it: collecting is done under the
  lock, once the head is replaced and the journal is in the history.  With a journal still
  there, nothing is taken.
- *A run whose lock was broken* while it collected would go on with what it had found,
  and might remove a file of old content that the run after it has just added again.
  So each file goes under the guard of the lock, which nobody can break or take in
  between, and only while the lock is held.
- *A plan in another process* reads without the lock, from a head that may be replaced any
  time.  The files of the last heads stay, so that it takes many applies during one plan,
  or large ones, for a file of it to go.  Files never change, so what it has read is
  right; where one is gone it finds that head or journal changed since, and reads anew
  (``session.load.read_stable``).
- *A saved plan* holds its members itself, and an ended apply its changes.
- *A crash* before an earlier head is gone, durably, has not removed a file of it; one
  after that leaves files which nothing names, for the next time.  A head that was
  replaced by a run that died then and there is brought to the disk before a file of the
  former goes, and the former is in the history.
- *An earlier head that cannot be read* may have named anything: then nothing is taken.
  It is let go of when it is too old, as any other.
"""

from segctl.backends.base import Backend
from segctl.backends.journal import Journal
from segctl.core.codec import DecodeError
from segctl.core.errors import StateDamaged
from segctl.state import codec as state_codec
from segctl.state.history import Garbage, HistoryLimits, select_garbage

_ADVICE = (
    "Move it out of segctl.state.d/history, or leave it: it goes when it is the oldest. "
    "Nothing was removed."
)


def find_garbage(backend: Backend, limits: HistoryLimits) -> Garbage:
    """Find what the state no longer needs; writes nothing.

    Nothing while an apply has not come to its end.  Raises ``StateDamaged`` where it
    cannot be told for certain.
    """
    stored = backend.read_head()
    if stored is None or Journal.open(backend.journal_folder()) is not None:
        return Garbage()
    present = state_codec.decode(stored.data).file_names() | state_codec.referenced_files(
        stored.data
    )

    def named_by(name: str) -> frozenset[str]:
        return _named_by(backend, name)

    return select_garbage(
        backend.list_history(), named_by, present=present, sizes=backend.file_sizes(), limits=limits
    )


def collect(backend: Backend, limits: HistoryLimits) -> Garbage:
    """Remove what the state no longer needs, and tell what it was; needs the lock.

    Raises ``StateDamaged`` as ``find_garbage`` does, ``StateChanged`` where the lock was broken,
    ``OperationError`` where something cannot be removed.
    """
    found = find_garbage(backend, limits)
    backend.remove_garbage(heads=found.heads, files=found.files)
    return found


def _named_by(backend: Backend, name: str) -> frozenset[str]:
    head = backend.read_earlier_head(name)
    problem = head.problem
    if head.data is not None:
        try:
            return state_codec.referenced_files(head.data)
        except DecodeError as misfit:
            problem = str(misfit)
    raise StateDamaged(f"the earlier state {name} cannot be read: {problem}", hint=_ADVICE)
