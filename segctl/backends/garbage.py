"""Remove what the state no longer needs: unreferenced member files, and heads that are too old.

A member file is needed by the current head and by each earlier head that is kept. An interrupted
apply starts from one of these. Every other file in ``members/`` that is named like a member file
is removed; other files are left alone.

Other processes may run at the same time, and this process may be killed. Why no file is lost:

- *Another run that writes* waits for the lock. Garbage is collected with the lock held, after the
  head was replaced and the journal archived. While a journal exists, nothing is removed.
- *The lock is broken while this run collects.* The next run may add a file with the same content,
  and so the same name, as a file that this run is about to remove. Each file is therefore removed
  under the guard of the lock (see ``local_lock.py``), while nobody can break or take the lock,
  and only if this run still holds it. In a bucket, each member file has a name of its own, so a
  late removal never takes a file that another run added.
- *A plan in another process* reads without the lock, from a head that may be replaced at any
  time. The files of the last heads are kept, so a plan loses a file only if many or large applies
  run during the plan. Files never change, so what it has read is correct. If a file is gone, the
  plan notices that the head or the journal changed, and starts again
  (``session.load.read_stable``).
- *A saved plan* contains its members, and an archived apply its changes. Plans that are kept for
  approval are removed by their age alone.
- *A crash.* Earlier heads are removed, durably, before the first of their files. A crash in
  between leaves files that no head refers to, which the next collection removes. If a run was
  killed right after it replaced the head, the new head is flushed to the disk before any file of
  the previous head is removed; the previous head is in the history.
- *An earlier head that cannot be read* may refer to any file, so nothing is removed as long as it
  is kept. It is removed when it is too old, like any other.
"""

from dataclasses import replace

from segctl.backends.base import Backend
from segctl.core.codec import DecodeError
from segctl.core.errors import StateDamaged
from segctl.state import codec as state_codec
from segctl.state.history import Garbage, HistoryLimits, select_garbage

_HINT = (
    "Nothing was removed. Move the file out of segctl.state.d/history, or leave it there: it is "
    "removed when it is the oldest."
)


def find_garbage(backend: Backend, limits: HistoryLimits, *, now: float) -> Garbage:
    """Return what the state no longer needs at the time ``now``; writes nothing.

    While there is a journal, that is saved plans only. Raises ``StateDamaged`` if a head cannot be
    read.
    """
    plans = tuple(backend.old_plans(now=now))
    stored = backend.read_head()
    if stored is None or backend.journals.identity() is not None:
        return Garbage(plans=plans)
    current = state_codec.decode(stored.data).file_names()
    garbage = select_garbage(
        backend.list_history(),
        lambda name: _files_of(backend, name),
        current=current | state_codec.referenced_files(stored.data),
        sizes=backend.file_sizes(),
        limits=limits,
    )
    return replace(garbage, plans=plans)


def collect(backend: Backend, limits: HistoryLimits, *, now: float) -> Garbage:
    """Remove what the state no longer needs and return what was removed; needs the lock.

    Raises ``StateDamaged`` as ``find_garbage`` does, ``StateChanged`` if the lock was broken,
    ``OperationError`` if something cannot be removed.
    """
    garbage = find_garbage(backend, limits, now=now)
    backend.remove_plans(garbage.plans)
    backend.remove_garbage(heads=garbage.heads, files=garbage.files)
    return garbage


def _files_of(backend: Backend, name: str) -> frozenset[str]:
    head = backend.read_earlier_head(name)
    problem = head.problem
    if head.data is not None:
        try:
            return state_codec.referenced_files(head.data)
        except DecodeError as error:
            problem = str(error)
    raise StateDamaged(f"the earlier state {name} cannot be read: {problem}", hint=_HINT)
