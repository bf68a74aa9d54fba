"""The lock of a state in a store of bytes: a lease that its holder renews in the background.

Nobody compares the clocks of two machines. A run that waits takes the lock over when it has itself
seen the same version of the root for the length of the lease. The holder measures with its own
clock, from before it asked the store for the last renewal, and stops sending so early that a
request has ended before the lease can be taken over.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from segctl.backends.base import LockInfo
from segctl.backends.byte_store import WriteConflict
from segctl.backends.holders import (
    current_user,
    describe_holder,
    locked_error,
    new_lock_id,
    no_such_lock,
)
from segctl.backends.root import STOPPED_HINT, Lease, ReadRoot, Root, RootObject
from segctl.core.clock import Clock
from segctl.core.errors import OperationError, StateChanged
from segctl.manifests.state_place import DEFAULT_LEASE_SECONDS, MAX_LEASE_SECONDS

_LOG = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_RENEWALS = 6
"""How often the lock is renewed in the length of a lease."""

_RETRY_SECONDS = 1.0
_JOIN_SECONDS = 30.0


class LeaseLock:
    """The lock in a root; ``parts.StateLock`` has the contract.

    ``run_url`` is the address of the CI job. ``sleep`` is called between two looks at a lock that
    another run holds. ``before_first`` is called before the first root is written.
    """

    def __init__(
        self,
        root: RootObject,
        *,
        clock: Clock,
        sleep: Callable[[float], None],
        before_first: Callable[[], None],
        seconds: float = DEFAULT_LEASE_SECONDS,
        run_url: str = "",
        new_id: Callable[[], str] = new_lock_id,
    ) -> None:
        self.abandoned: LockInfo | None = None
        self.max_request_seconds = seconds / 2
        self._root = root
        self._clock = clock
        self._sleep = sleep
        self._before_first = before_first
        self._seconds = seconds
        self._run_url = run_url
        self._new_id = new_id
        self._id = ""
        self._renewer: _Renewer | None = None

    def acquire(self, *, command: str, timeout: float) -> LockInfo:
        """Take the lock, waiting at most ``timeout`` seconds for a run that is alive.

        A lock that is not renewed is taken over after the length of its lease, even if that is
        longer than ``timeout``. Raises ``StateLocked``.
        """
        deadline = self._clock.monotonic() + timeout
        watch = _Watch()
        while True:
            found = self._root.read()
            if found is None:
                self._before_first()
            now = self._clock.monotonic()
            lease = found.root.lease if found else None
            if found is None or lease is None or lease.is_broken or watch.is_expired(found, now):
                if info := self._try_take(found, command):
                    return info
                continue
            remaining = deadline - now
            if watch.is_alive and remaining <= 0:
                raise locked_error(lease.holder)
            self._tell_once(watch, lease)
            self._sleep(min(_POLL_SECONDS, remaining) if remaining > 0 else _POLL_SECONDS)

    def _try_take(self, found: ReadRoot | None, command: str) -> LockInfo | None:
        """Write this run into the root as the holder; return ``None`` if another was faster."""
        info = LockInfo(
            id=self._new_id(),
            who=current_user(),
            pid=os.getpid(),
            command=command,
            since=self._clock.now(),
            run=self._run_url,
        )
        before = found.root if found else self._root.initial()
        lease = Lease(holder=info, seconds=self._seconds)
        if not self._root.hold(found, before.next(epoch=before.epoch + 1, lease=lease)):
            return None
        if before.lease and not before.lease.is_broken:
            _LOG.warning("that run is dead; this one goes on in its place")
        self._id = info.id
        self.abandoned = before.lease.holder if before.lease else None
        self._renewer = _Renewer(self._renew, seconds=self._seconds / _RENEWALS)
        self._renewer.start()
        return info

    def release(self) -> None:
        """Release the lock, unless it is lost. One that cannot be released expires."""
        if self._renewer:
            self._renewer.stop()
            self._renewer = None
        self._root.let_go(lambda root: root.next(lease=None))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Check the lock. If it is lost unnoticed, the next replacement of the root fails."""
        self.check()
        yield

    def check(self) -> None:
        """Raise ``StateChanged`` if the lock is lost, or could be before a request has ended."""
        if not self._root.is_held:
            raise RuntimeError("the state is written without the lock")
        if self._root.lost:
            raise StateChanged(self._root.lost, hint=STOPPED_HINT)
        seconds = self._clock.monotonic() - self._root.confirmed_at
        if seconds > self._seconds - self.max_request_seconds:
            raise StateChanged(
                f"the lock {self._id} of this run was not renewed for {seconds:,.0f} seconds, and "
                "another run may have taken it over; the run stopped and left the state as it is",
                hint=STOPPED_HINT,
            )

    def holder(self) -> LockInfo | None:
        """Return who holds the lock, dead or alive, or ``None``."""
        found = self._root.seen()
        lease = found.root.lease if found else None
        return lease.holder if lease and not lease.is_broken else None

    def living_holder(self) -> LockInfo | None:
        """Return who holds the lock and renews it; waits for a renewal or the end of the lease."""
        watch = _Watch()
        while True:
            found = self._root.read()
            lease = found.root.lease if found else None
            if found is None or lease is None or lease.is_broken:
                return None
            is_expired = watch.is_expired(found, self._clock.monotonic())
            if watch.is_alive or is_expired:
                return None if is_expired else lease.holder
            self._tell_once(watch, lease)
            self._sleep(_POLL_SECONDS)

    def _tell_once(self, watch: "_Watch", lease: Lease) -> None:
        if watch.looks == 1:
            _LOG.warning(
                "%s; waiting up to %.0f seconds to see whether that run is alive",
                describe_holder(lease.holder),
                min(lease.seconds, MAX_LEASE_SECONDS),
            )

    def force(self, lock_id: str) -> None:
        """Mark the lock with this id as broken. Every later write of its holder fails."""
        while True:
            found = self._root.read()
            lease = found.root.lease if found else None
            if found is None or lease is None or lease.is_broken or lease.holder.id != lock_id:
                is_held = lease is not None and not lease.is_broken
                raise no_such_lock(lock_id, lease.holder if lease and is_held else None)
            with suppress(WriteConflict):  # its holder renewed it meanwhile
                broken = found.root.next(lease=replace(lease, is_broken=True))
                self._root.write(broken, version=found.version)
                return

    def record_plan(self, plan: str) -> None:
        """Record in the lock which saved plan is about to be applied."""

        def with_plan(root: Root) -> Root:
            lease = root.lease
            return root.next(
                lease=lease and replace(lease, holder=replace(lease.holder, plan=plan))
            )

        self._root.swap(with_plan)

    def _renew(self) -> None:
        def renewed(root: Root) -> Root:
            lease = root.lease
            return root.next(lease=lease and replace(lease, renewals=lease.renewals + 1))

        self._root.swap(renewed)


class _Watch:
    """What a waiting run has seen of the lock. ``is_alive`` once it saw the lock change."""

    def __init__(self) -> None:
        self.is_alive = False
        self.looks = 0
        self._version = ""
        self._since = 0.0

    def is_expired(self, found: ReadRoot, now: float) -> bool:
        """Whether the root has not changed for the length of its lease."""
        self.looks += 1
        if found.version != self._version:
            self.is_alive = bool(self._version)
            self._version, self._since = found.version, now
        seconds = found.root.lease.seconds if found.root.lease else 0.0
        seconds = min(seconds, MAX_LEASE_SECONDS)  # the object may be damaged
        return now - self._since >= seconds


class _Renewer(threading.Thread):
    """Calls ``renew`` every so many seconds until it is stopped or the lock is lost."""

    def __init__(self, renew: Callable[[], None], *, seconds: float) -> None:
        super().__init__(name="renew the lock", daemon=True)
        self._renew = renew
        self._seconds = seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        """Renew the lock; after an error of the store, try again soon."""
        seconds = self._seconds
        while not self._stopped.wait(seconds):
            seconds = self._seconds
            try:
                self._renew()
            except StateChanged:
                return
            except OperationError:
                seconds = min(_RETRY_SECONDS, self._seconds)

    def stop(self) -> None:
        """Stop, after a renewal that is under way."""
        self._stopped.set()
        self.join(_JOIN_SECONDS)
