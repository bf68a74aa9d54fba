"""The lines of a journal's log: one JSON object each, with a checksum.

A crash can damage only lines that were not synced. Each line has a checksum (``crc``), which
detects the damage, and the number of lines before it that were synced (``synced``), which says
whether the damage can be due to a crash.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from segctl.core.errors import StateDamaged
from segctl.core.outcomes import Record, is_record

LOG = "log.jsonl"
RESTORE_JOURNAL = (
    "Restore the journal's folder from a backup. Do not delete it: it records which requests were "
    "sent and are not in the state yet."
)

_SYNCED = "synced"


def encode_line(record: Record, *, synced: int) -> bytes:
    """Encode a record as a line that ends with a checksum of the rest.

    ``synced`` is how many of the lines before it are certainly stored.
    """
    fields = {**record, _SYNCED: synced}
    body = json.dumps(fields, allow_nan=False, separators=(",", ":"))[:-1]
    return f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def read_lines(
    data: bytes, unseal: Callable[[bytes], bytes] = lambda line: line, *, is_atomic: bool = False
) -> Iterator[tuple[Record, int]]:
    """Yield the record of each intact line, and the offset in bytes at which the line ends.

    ``unseal`` opens an encrypted line; it raises ``StateDamaged`` for one that is damaged. With
    ``is_atomic``, no line can be damaged by a crash.

    A crash can damage lines that were not synced: the last one incomplete, others empty. They
    are skipped, because the run that wrote them did not rely on them yet. Any other damaged
    line raises ``StateDamaged``.
    """
    # The last line may have no newline. Its checksum then does not match.
    lines = [
        (_decode_line(line, unseal), len(line)) for line in re.findall(rb"[^\n]*\n|[^\n]+", data)
    ]
    counts = (record.get(_SYNCED) for record, _ in lines if record)
    synced = max((count for count in counts if type(count) is int), default=0)
    end = 0
    for number, (record, size) in enumerate(lines, start=1):
        end += size
        if record is not None:
            record.pop(_SYNCED, None)
            if not is_record(record):
                raise StateDamaged(
                    f"the journal cannot be read: line {number} of {LOG} is not a record of an "
                    "apply",
                    hint=RESTORE_JOURNAL,
                )
            yield record, end
        elif is_atomic or number <= synced:
            raise StateDamaged(
                f"the journal cannot be read: line {number} of {LOG} does not match its checksum",
                hint=RESTORE_JOURNAL,
            )


def _decode_line(line: bytes, unseal: Callable[[bytes], bytes]) -> dict[str, Any] | None:
    """Return the record of a line, or ``None`` if the line is incomplete or damaged."""
    try:
        line = unseal(line)
    except StateDamaged:
        return None
    body, mark, rest = line.rpartition(b',"crc":"')
    if not mark or rest != b'%08x"}\n' % zlib.crc32(body):
        return None
    try:
        record = json.loads(body + b"}")
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
