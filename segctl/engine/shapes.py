"""The shape of a user key in SQL: its form and length, but nothing of its content.

``digits:8``, ``+digits:12``, ``uuid``, ``UUID``, ``hex:32``, ``HEX:32``, ``email``, or else the
kinds of characters that it has: ``A9-`` for capital letters, digits and a dash. A guid of CleverTap
has ``guid`` before it.
"""

from collections.abc import Collection, Mapping

import duckdb

from segctl.engine import sql

_LOWER, _UPPER = "[0-9a-f]", "[0-9A-F]"
_MARKS = "-_.:@+/=|"
_SYMBOLS = r"""[!"#$%&'()*,;<>?\[\]^`{}~\\]"""
"""The other symbols of ASCII. Which of them a key has is not part of its shape."""


def _uuid(digit: str) -> str:
    return f"{digit}{{8}}-{digit}{{4}}-{digit}{{4}}-{digit}{{4}}-{digit}{{12}}"


def _mark_if(condition: str, mark: str) -> str:
    return f"CASE WHEN {condition} THEN '{mark}' ELSE '' END"


_CHARACTERS = " || ".join(
    [
        *(
            _mark_if(f"regexp_matches(value, {sql.literal(pattern)})", mark)
            for pattern, mark in (("[a-z]", "a"), ("[A-Z]", "A"), ("[0-9]", "9"))
        ),
        *(_mark_if(f"contains(value, '{mark}')", mark) for mark in _MARKS),
        # Most keys have no others, which one expression shows.
        "CASE WHEN regexp_full_match(value, '[0-9A-Za-z_.:@+/=|-]+') THEN '' ELSE "
        + _mark_if(f"regexp_matches(value, {sql.literal(_SYMBOLS)})", "!")
        + " || "
        + _mark_if("regexp_matches(value, '[^!-~]')", "u")
        + " END",
    ]
)
SHAPE = f"""CASE WHEN kind = 'guid' THEN 'guid ' ELSE '' END || CASE
    WHEN regexp_full_match(value, '[0-9]+') THEN 'digits:' || length(value)
    WHEN regexp_full_match(value, '[+][0-9]+') THEN '+digits:' || (length(value) - 1)
    WHEN length(value) = 36 AND regexp_full_match(value, '{_uuid(_LOWER)}') THEN 'uuid'
    WHEN length(value) = 36 AND regexp_full_match(value, '{_uuid(_UPPER)}') THEN 'UUID'
    WHEN length(value) >= 16 AND regexp_full_match(value, '{_LOWER}+')
        THEN 'hex:' || length(value)
    WHEN length(value) >= 16 AND regexp_full_match(value, '{_UPPER}+')
        THEN 'HEX:' || length(value)
    WHEN contains(value, '@') AND regexp_full_match(value, '[^@ ]+@[^@ ]+[.][^@ .]+') THEN 'email'
    ELSE {_CHARACTERS}
END"""
"""The shape of ``value`` and ``kind``."""

ADDED = "action = 'ADD' AND NOT recorded"
"""The rows of ``delta`` that add a member."""


def count_shapes(
    db: duckdb.DuckDBPyConnection, relation: str, targets: Collection[int], *, where: str = "true"
) -> Mapping[int, Mapping[str, int]]:
    """Count the rows of each shape in a relation of members, by target index.

    ``relation`` has the columns target, kind and value.
    """
    counts: dict[int, dict[str, int]] = {target: {} for target in targets}
    if not counts:
        return counts
    rows = db.execute(
        f"SELECT target, {SHAPE} AS shape, count(*) FROM {relation} "
        f"WHERE list_contains($1::INTEGER[], target) AND {where} GROUP BY target, shape",
        [sorted(counts)],
    ).fetchall()
    for target, shape, count in rows:
        counts[target][shape] = count
    return counts


def count_changed_shapes(
    db: duckdb.DuckDBPyConnection, targets: Collection[int]
) -> Mapping[int, Mapping[str, int]]:
    """Count how many more members of each shape a fold gave each target; it can be fewer."""
    added = count_shapes(db, "applied", targets, where="action = 'ADD'")
    removed = count_shapes(db, "applied", targets, where="action = 'REMOVE'")
    return {
        target: {
            shape: added[target].get(shape, 0) - removed[target].get(shape, 0)
            for shape in added[target].keys() | removed[target].keys()
        }
        for target in added
    }
