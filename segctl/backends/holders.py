"""Who holds a lock: this run, and the error that names another one."""

import getpass
import os
import secrets
import socket
from datetime import UTC, datetime

from segctl.backends.base import LockInfo
from segctl.core.errors import StateLocked, WrongUsage

UNKNOWN_HOLDER = LockInfo(id="unknown", who="unknown", pid=0, command="unknown", since=0.0)
"""Used if the holder's description cannot be read. Its id breaks the lock, too."""


def new_lock_id() -> str:
    """Return a random id, short enough to be typed."""
    return secrets.token_hex(4)


def current_user() -> str:
    """Return ``user@host`` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def locked_error(holder: LockInfo) -> StateLocked:
    """Return the error for a lock that another run holds."""
    return StateLocked(
        describe_holder(holder),
        holder=holder,
        hint="Wait for it with --lock-timeout 60s. If that process hangs or cannot be reached, "
        f"run `segctl force-unlock {holder.id}`.",
    )


def no_such_lock(lock_id: str, holder: LockInfo | None) -> WrongUsage:
    """Return the error for an attempt to break a lock that does not exist."""
    if holder is None:
        return WrongUsage("the state is not locked, so there is no lock to break")
    return WrongUsage(
        f"there is no lock {lock_id}: {describe_holder(holder)}",
        hint=f"To break that lock, run `segctl force-unlock {holder.id}`.",
    )


def describe_holder(holder: LockInfo) -> str:
    """Return a sentence about who holds the lock and since when."""
    if holder == UNKNOWN_HOLDER:
        return "the state is locked by an unknown process; lock ID unknown"
    try:
        since = datetime.fromtimestamp(holder.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        since = "an unknown time"
    job = f", {holder.run}" if holder.run else ""
    return (
        f"the state is locked by {holder.who} (process {holder.pid}, `{holder.command}`{job}) "
        f"since {since}; lock ID {holder.id}"
    )
