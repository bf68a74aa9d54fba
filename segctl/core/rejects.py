"""Rejects: entries that CleverTap skipped after it had accepted their request.

The dashboard's Error Stream is the only place that shows them; ``error_stream.py`` parses it.
"""

from collections.abc import Sequence
from dataclasses import field

from segctl.core.dataclass import dataclass
from segctl.core.identity import Kind

SEGMENT_NOT_FOUND = "API_SEGMENT_NOT_FOUND_OR_DELETED"
EMPTY_IDENTITY = "API_SEGMENT_EMPTY_IDENTITY"
NO_SEGMENT_ID = "API_SEGMENT_NO_SEGMENT_ID"
ERROR_TYPES = (
    SEGMENT_NOT_FOUND,
    "API_SEGMENT_ID_MISMATCH",
    "API_SEGMENT_INVALID_ACTION",
    EMPTY_IDENTITY,
    NO_SEGMENT_ID,
)
"""The error types on the vendor's page about updateSegment."""


@dataclass(frozen=True, kw_only=True)
class RejectDetails:
    """The fields of a reject other than user and time; ``None`` or empty if the row has none.

    ``ct_segment_id`` is text, because other clients may have sent something that is not a number.
    """

    ct_segment_id: str | None
    customer_segment_id: str | None
    type: str = ""
    account: str = ""


@dataclass(frozen=True, kw_only=True)
class Rejects:
    """The rows of an Error Stream, as columns, so that a million rows take little memory.

    Row ``n`` is ``users[n]``, ``times[n]`` and ``details[detail_indexes[n]]``: ``details`` holds
    each combination once. Times are seconds since 1970, ``None`` if the row has no time or the
    time has no zone.
    """

    details: tuple[RejectDetails, ...] = ()
    detail_indexes: Sequence[int] = ()
    users: Sequence[str] = field(default=(), repr=False)
    times: Sequence[float | None] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.users)


@dataclass(frozen=True, kw_only=True)
class RejectsResult:
    """What loading an Error Stream did, in rows.

    ``adds`` and ``removes`` matched a request to add or remove the user; ``known`` of them had
    been loaded before. ``older`` rows are from before the last request for their pair.
    ``missing`` are the addresses of segments that the service does not find.
    """

    rows: int
    adds: int
    removes: int
    known: int
    older: int
    unmatched: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RetryResult:
    """How many ``pairs`` left quarantine, in how many ``segments``.

    ``found`` are the addresses of segments that are no longer recorded as missing.
    """

    pairs: int
    segments: int
    found: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QuarantinedMembership:
    """A quarantined pair: what was refused, when (``at``, seconds since 1970), and why."""

    address: str
    action: str
    kind: Kind
    value: str = field(repr=False)
    type: str
    at: float
