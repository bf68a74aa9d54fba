"""Everything of a stored state that changes, in one object: head, journal and lock.

The object ``root.json`` names the head and the journal, and says who holds the lock. It is only
ever replaced if it is unchanged since it was read. The holder of the lock remembers its version, so
taking the lock makes every later write of the previous holder fail. No other object of a state
changes after it was written.
"""

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field, replace

from segctl.backends.base import LockInfo
from segctl.backends.byte_store import ByteStore, WriteConflict
from segctl.core.clock import Clock
from segctl.core.codec import OPTIONAL, DecodeError, dump_json, from_plain, load_json, to_plain
from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError, StateChanged, StateDamaged

ROOT = "root.json"
_NOT_ASKED = "not asked"
VERSION = 1

STOPPED_HINT = (
    "Make sure that no other run is in progress, then run the same command again: it finds out "
    "what was sent, and goes on."
)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A held lock. ``renewals`` counts; ``is_broken`` is set by ``force-unlock``."""

    holder: LockInfo
    seconds: float
    renewals: int = 0
    is_broken: bool = False


@dataclass(frozen=True, kw_only=True)
class Root:
    """The content of ``root.json``.

    ``write`` is a random id of this write, by which a run recognizes its own. ``epoch`` counts
    how often the lock was taken. ``head`` is the version of the head, ``journal`` the id of the
    running apply. ``moved_to`` is where the state was migrated to.
    """

    write: str = ""
    epoch: int = 0
    head: str | None = None
    journal: str | None = None
    lease: Lease | None = None
    moved_to: str = field(default="", metadata=OPTIONAL)

    def next(self, **changes: object) -> "Root":
        """Return the root with ``changes``, as a new write."""
        return replace(self, write=secrets.token_hex(8), **changes)  # type: ignore[arg-type]  # by name


@dataclass(frozen=True, kw_only=True)
class ReadRoot:
    """A root, and the version of the object that it was read from."""

    root: Root
    version: str


class RootObject:
    """The root in ``store``, as one run reads it and, while it holds the lock, replaces it.

    ``confirmed_at`` is a time of the clock (monotonic) from before the store was asked for the
    last write that it acknowledged. ``lost`` says why this run no longer holds the lock.
    ``find_orphan`` returns the id of a journal that no root names.
    """

    def __init__(
        self,
        store: ByteStore,
        clock: Clock,
        find_orphan: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._find_orphan = find_orphan
        self._orphan: str | None = _NOT_ASKED
        self.confirmed_at = 0.0
        self.lost = ""
        self._store = store
        self._clock = clock
        self._mutex = threading.RLock()
        self._held: ReadRoot | None = None
        self._seen: list[ReadRoot | None] = []
        self._unanswered: set[str] = set()

    @property
    def name(self) -> str:
        """How messages name the store."""
        return self._store.name

    @property
    def is_held(self) -> bool:
        """Whether this run took the lock and did not release it."""
        return self._held is not None

    def current(self) -> Root:
        """Return the root: as this run wrote it if it holds the lock, otherwise as it was stored.

        It is read once until ``refresh`` is called. Everything that a root names stays as it is,
        so one root is a whole state.
        """
        found = self._held or self.seen()
        return found.root if found else self.initial()

    def initial(self) -> Root:
        """Return the root of a state without one: new, or what is left of one that was lost.

        An apply whose journal is there may have sent something.
        """
        if self._orphan is _NOT_ASKED:
            self._orphan = self._find_orphan()
        return Root(journal=self._orphan)

    def seen(self) -> ReadRoot | None:
        """Return the root as it was stored when it was first read since ``refresh``."""
        if not self._seen:
            self._seen = [self.read()]
        return self._seen[0]

    def refresh(self) -> None:
        """Forget what was read."""
        self._seen, self._orphan = [], _NOT_ASKED

    def read(self) -> ReadRoot | None:
        """Read the root from the store; ``None`` if there is none."""
        stored = self._store.read(ROOT)
        if stored is None:
            return None
        return ReadRoot(root=self._decode(stored.data), version=stored.version)

    def write(self, root: Root, *, version: str | None) -> str:
        """Replace the root of this version, ``None`` for no root. Return the new version.

        Raises ``WriteConflict``, also if the store carried out a repeated request twice; compare
        ``Root.write`` then.
        """
        data = dump_json({"version": VERSION, **to_plain(root)})
        if version is None:
            return self._store.write_new(ROOT, data)
        return self._store.replace(ROOT, data, version=version)

    def hold(self, found: ReadRoot | None, wanted: Root) -> bool:
        """Replace the root that was found by one in which this run has the lock.

        Return whether that succeeded; otherwise another run was faster.
        """
        begun = self._clock.monotonic()
        try:
            version = self.write(wanted, version=found.version if found else None)
        except WriteConflict:
            now = self.read()
            if now is None or now.root.write != wanted.write:
                return False
            version = now.version
        with self._mutex:
            self._held = ReadRoot(root=wanted, version=version)
            self.confirmed_at, self.lost = begun, ""
            self._unanswered.clear()
        return True

    def swap(self, change: Callable[[Root], Root]) -> None:
        """Replace the root by what ``change`` makes of it; only the holder of the lock can.

        Raises ``StateChanged`` if another run has the lock by now. After an ``OperationError`` it
        is not known whether the root was replaced; the next swap finds out.
        """
        with self._mutex:
            while True:
                if self.lost or self._held is None:
                    raise StateChanged(self.lost or "the lock was released", hint=STOPPED_HINT)
                wanted = change(self._held.root)
                begun = self._clock.monotonic()
                self._unanswered.add(wanted.write)
                try:
                    version = self.write(wanted, version=self._held.version)
                except WriteConflict:
                    if self._adopt() == wanted.write:
                        return
                    continue
                self._held = ReadRoot(root=wanted, version=version)
                self.confirmed_at = begun
                self._unanswered.clear()
                return

    def let_go(self, change: Callable[[Root], Root]) -> None:
        """Swap for the last time, if the lock is not lost."""
        with self._mutex, suppress(OperationError):
            if self._held and not self.lost:
                self.swap(change)
        self._held = None
        self.refresh()

    def _adopt(self) -> str:
        """After a conflict, continue from an own write that the store carried out unseen.

        Return the id of that write. The lock is lost if the root is not one of this run.
        """
        now = self.read()
        if now is None or now.root.write not in self._unanswered:
            self.lost = self._describe_loss(now.root if now else None)
            return ""
        self._held = now
        return now.root.write

    def _describe_loss(self, now: Root | None) -> str:
        """Return why the root that is stored now means that this run lost the lock."""
        own = self._held and self._held.root.lease
        own_id = own.holder.id if own else ""
        stopped = "the run stopped and left the state as it is"
        if now is None:
            return f"{self.name}/{ROOT} was removed while the run was in progress; {stopped}"
        if self._held and now.epoch == self._held.root.epoch:
            return (
                f"the lock {own_id} of this run was broken while the run was in progress; {stopped}"
            )
        holder = now.lease.holder if now.lease else None
        who = f" ({holder.who}, lock ID {holder.id})" if holder else ""
        return f"another run{who} took over the lock {own_id} of this run; {stopped}"

    def confirm(self) -> None:
        """Raise ``StateChanged`` unless this run has the lock at this moment; asks the store."""
        self.swap(lambda root: root.next())

    def _decode(self, data: bytes) -> Root:
        try:
            document = load_json(data)
            fields = dict(document) if isinstance(document, dict) else {}
            version = fields.pop("version", None)
            if isinstance(version, int) and version > VERSION:
                raise StateDamaged(
                    f"{self.name}/{ROOT} has format {version}, this segctl reads format {VERSION}",
                    hint="Upgrade segctl.",
                )
            return from_plain(Root, fields)
        except DecodeError as error:
            raise StateDamaged(
                f"{self.name}/{ROOT} cannot be read: {error}",
                hint="Restore this object: from its earlier version in a versioned bucket, or from "
                "a backup.",
            ) from error
