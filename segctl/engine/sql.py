"""SQL that several modules of the engine share: quoting, file lists, expressions.

A relation of members has the columns ``target`` (the target index), ``kind`` and ``value``. Kinds
and actions are spelled as in the API. The statements of one module are in that module.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.core.identity import (
    CONTROL_PATTERN,
    MAX_CHARACTERS,
    PLACEHOLDERS,
    SPACE_PATTERN,
    IdentityProblem,
    SetDigest,
)

if TYPE_CHECKING:
    import duckdb


def literal(text: str) -> str:
    """Quote a string."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote the name of a column or a table."""
    return '"' + name.replace('"', '""') + '"'


def escape_glob(path: Path) -> str:
    """Return a glob that matches only this path. DuckDB's reading functions expand globs."""
    return re.sub(r"[*?[]", r"[\g<0>]", str(path))


def file_name(path: Path) -> str:
    """Return a path as the argument of a reading function."""
    return literal(escape_glob(path))


def file_names(paths: Iterable[Path]) -> str:
    """Return paths as the list argument of a reading function."""
    return "[" + ", ".join(file_name(path) for path in paths) + "]"


@contextmanager
def preserve_order(db: "duckdb.DuckDBPyConnection") -> Iterator[None]:
    """Make DuckDB keep the order of rows during the block. This takes more memory."""
    db.execute("SET preserve_insertion_order = true")
    try:
        yield
    finally:
        db.execute("SET preserve_insertion_order = false")


VALUE_PROBLEM = f"""CASE
    WHEN value IS NULL THEN '{IdentityProblem.NULL}'
    WHEN length(value) <= {MAX_CHARACTERS} AND regexp_full_match(value, '[!-~]([ -~]*[!-~])?')
        THEN CASE WHEN length(value) <= {max(map(len, PLACEHOLDERS))} AND lower(value) IN (
            {", ".join(literal(word) for word in sorted(PLACEHOLDERS))}
        ) THEN '{IdentityProblem.PLACEHOLDER}' END
    WHEN regexp_full_match(value, '{SPACE_PATTERN}*') THEN '{IdentityProblem.EMPTY}'
    WHEN regexp_matches(value, '{CONTROL_PATTERN}') THEN '{IdentityProblem.CONTROL}'
    WHEN regexp_matches(value, '^{SPACE_PATTERN}|{SPACE_PATTERN}$') THEN '{IdentityProblem.SPACE}'
    WHEN length(value) > {MAX_CHARACTERS} THEN '{IdentityProblem.LONG}'
END"""
"""The problem of ``value``, NULL if it is valid: the rules of ``core.identity.find_problem``.

Most values are printable ASCII. For these the second branch decides with one regular
expression: such a value is valid unless it is a placeholder.
"""

ENCODED_MEMBER = "kind[1] || value"
"""``core.identity.encode_identity``, in SQL."""

MEMBER_ORDER = "kind = 'identity', value"
"""Guid before identity, then by value.

The kind is a boolean: as text it would fill the bytes of a sort key that DuckDB compares first.
"""

READ_ALL_ROWS = "SELECT bit_xor(hash(COLUMNS(*))) FROM ({rows})"
"""Reads every value of ``rows``. A count would only read the statistics of a Parquet file."""

NO_MEMBERS = "SELECT 0::INTEGER AS target, '' AS kind, '' AS value WHERE false"


def digest_sums(text: str) -> str:
    """Return two aggregates: the sums of the high and the low halves of ``text``'s hashes.

    The hash has 128 bits. A sum of whole hashes would overflow; see ``digest_from_sums``.
    """
    halves = (f"('0x' || substr(sha256({text}), {start}, 16))::UBIGINT" for start in (1, 17))
    return ", ".join(f"coalesce(sum({half}), 0)" for half in halves)


def digest_from_sums(rows: int, high: int, low: int) -> SetDigest:
    """Return the digest for a number of rows and the two values of ``digest_sums``."""
    return SetDigest(count=int(rows), total=((int(high) << 64) + int(low)) % (1 << 128))
