"""Look at the beginning of the files of a source, for checks that read no rows.

What is certain is decided here, without a database: most files have the columns that they should.
``RowReader.check_columns`` looks at all others, and knows what to say of them.
"""

import json
from pathlib import Path

from segctl.engine.file_contents import read_beginning
from segctl.engine.model import FileScan

_BOM = b"\xef\xbb\xbf"
_HEADER_BYTES = 1 << 16
_COMPRESSED = (".gz", ".zst")


def surely_has_columns(scan: FileScan, path: Path) -> bool:
    """Whether the first line of a plain CSV or TSV file names each column of a scan once.

    False also for a line that has to be parsed with care, and for a file that cannot be read.
    """
    is_text = scan.format in ("csv", "tsv") and scan.encoding == "utf-8"
    if not is_text or path.suffix.lower() in _COMPRESSED:
        return False
    try:
        with path.open("rb") as stream:
            first, end, _ = stream.read(_HEADER_BYTES).partition(b"\n")
        header = first.removesuffix(b"\r").decode()
    except (OSError, UnicodeDecodeError):
        return False
    names = header.split(scan.separator)
    is_plain = bool(end) and '"' not in header and "\r" not in header
    return is_plain and all(names.count(column) == 1 for column in scan.file_columns)


def first_keys(path: Path) -> tuple[str, ...] | None:
    """Return the keys of the first line of a JSON Lines file, ``None`` if they are not certain.

    Raises ``SourceError`` for a file that is no list.
    """
    first, _, _ = read_beginning(path, "jsonl").removeprefix(_BOM).lstrip().partition(b"\n")
    try:  # an object that is cut off is not valid
        value = json.loads(first)
    except (ValueError, RecursionError):
        return None
    return tuple(value) if isinstance(value, dict) else None
