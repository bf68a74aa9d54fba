"""SQL that several modules of the engine share: quoting, file lists, expressions.

A relation of members has the columns ``target`` (the target index), ``kind`` and ``value``. Kinds
and actions are spelled as in the API. The statements of one module are in that module.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.core.identity import (
    CONTROL_PATTERN,
    MANGLED_PATTERN,
    MAX_CHARACTERS,
    NULL_MARKS,
    PLACEHOLDERS,
    SPACE_PATTERN,
    IdentityProblem,
    Kind,
    SetDigest,
)

if TYPE_CHECKING:
    import duckdb


WHOLE_NUMBERS = frozenset(
    "TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT".split()
)
"""Types whose values have one spelling. 10.0 and 10 are the same decimal."""


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


PATTERN_MARK = "\x02pattern:"
"""Stands before a value that does not match the pattern of its source. It makes it invalid."""

_KNOWN_MARKS = ", ".join(literal(word) for word in sorted(PLACEHOLDERS | NULL_MARKS))
_NULL_MARKS = ", ".join(literal(word) for word in sorted(NULL_MARKS))

VALUE_PROBLEM = f"""CASE
    WHEN value IS NULL THEN '{IdentityProblem.NULL}'
    WHEN strlen(value) <= {MAX_CHARACTERS} AND regexp_full_match(value, '[!-~]([ -~]*[!-~])?')
        THEN CASE
            WHEN strlen(value) <= {max(map(len, PLACEHOLDERS | NULL_MARKS))}
                AND lower(value) IN ({_KNOWN_MARKS})
                THEN CASE WHEN lower(value) IN ({_NULL_MARKS})
                     THEN '{IdentityProblem.NULL_MARK}' ELSE '{IdentityProblem.PLACEHOLDER}' END
            WHEN value < 'A' AND (contains(value, 'E') OR contains(value, 'e') OR value[1] = '=')
                AND regexp_full_match(value, {literal(MANGLED_PATTERN)})
                THEN '{IdentityProblem.MANGLED}'
        END
    WHEN regexp_full_match(value, '{SPACE_PATTERN}*') THEN '{IdentityProblem.EMPTY}'
    WHEN starts_with(value, '{PATTERN_MARK}') THEN '{IdentityProblem.PATTERN}'
    WHEN regexp_matches(value, '{CONTROL_PATTERN}') THEN '{IdentityProblem.CONTROL}'
    WHEN regexp_matches(value, '^{SPACE_PATTERN}|{SPACE_PATTERN}$') THEN '{IdentityProblem.SPACE}'
    WHEN length(value) > {MAX_CHARACTERS} THEN '{IdentityProblem.LONG}'
    WHEN starts_with(value, '=') AND regexp_full_match(value, {literal(MANGLED_PATTERN)})
        THEN '{IdentityProblem.MANGLED}'
END"""
"""The problem of ``value``, NULL if it is valid: the rules of ``core.identity.find_problem``.

Most values are printable ASCII, a byte per character. For these the second branch decides: such a
value is valid unless it is a known mark or was changed by a spreadsheet.
"""


def marked_value(patterns: Mapping[Kind, str]) -> str:
    """Return an expression for ``value``, with ``PATTERN_MARK`` before one that does not match.

    ``patterns`` are regular expressions of RE2 for whole values, by kind.
    """
    matches = " AND ".join(
        f"(kind <> {literal(kind)} OR regexp_full_match(value, {literal(pattern)}))"
        for kind, pattern in patterns.items()
    )
    mark = literal(PATTERN_MARK)
    return (
        f"CASE WHEN ({VALUE_PROBLEM}) IS NULL AND NOT ({matches}) "
        f"THEN {mark} || value ELSE value END"
    )


def mark_mismatches(select: str, patterns: Mapping[Kind, str]) -> str:
    """Return a SELECT that marks the values that do not match the pattern of their kind."""
    if not patterns:
        return select
    return f"SELECT * REPLACE ({marked_value(patterns)} AS value) FROM ({select})"


ENCODED_MEMBER = "kind[1] || value"
"""``core.identity.encode_identity``, in SQL."""

MEMBER_KEY = "member_key"
"""The variable of a connection that holds the key of ``MEMBER_HASH``. It is in no text of SQL."""

MEMBER_HASH = f"sha256(getvariable('{MEMBER_KEY}') || {ENCODED_MEMBER})"
"""``core.member_hash.hash_member`` with all its digits, in SQL."""

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
    # One number of 128 bits takes less time than two of 64.
    number = f"('0x' || substr(sha256({text}), 1, 32))::UHUGEINT"
    halves = (f"({number} >> 64)::UBIGINT", f"({number} & {2**64 - 1})::UBIGINT")
    return ", ".join(f"coalesce(sum({half}), 0)" for half in halves)


def digest_from_sums(rows: int, high: int, low: int) -> SetDigest:
    """Return the digest for a number of rows and the two values of ``digest_sums``."""
    return SetDigest(count=int(rows), total=((int(high) << 64) + int(low)) % (1 << 128))
