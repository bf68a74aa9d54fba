"""The SQL of the engine, written once; ``duckdb.py`` runs it.

Every relation of members has the columns ``target`` (index of a segment of the
service), ``kind`` and ``value``; kinds and actions are the words of the service.
"""

from collections.abc import Sequence
from pathlib import Path

from segctl.engine.base import Scan
from segctl.identity import (
    CONTROL_PATTERN,
    MAX_CHARACTERS,
    PLACEHOLDERS,
    SPACE_PATTERN,
    Problem,
)

# A separator that no line has: lines of a text file are values as they stand.
LINES = (
    "columns = {'value': 'VARCHAR'}, delim = '\x01\x02\x03', "
    "quote = '', escape = '', header = false"
)


def literal(text: str) -> str:
    """Quote a string for SQL."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + text.replace('"', '""') + '"'


def paths(files: Sequence[Path]) -> str:
    """Give a list of file names for a reading function."""
    return "[" + ", ".join(literal(str(file)) for file in files) + "]"


def lines_of(file: Path) -> str:
    """Give the reading function of a text file that has one column, ``value``: its lines."""
    return f"read_csv({literal(str(file))}, auto_detect = false, {LINES})"


def delimited(scan: Scan, columns: Sequence[str]) -> str:
    """Give the reading function of a csv or tsv file whose header is known.

    Nothing is guessed: DuckDB would take one file for this dialect and the next
    for that one.
    """
    types = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in columns)
    delimiter = "\t" if scan.format == "tsv" else ","
    return (
        f"read_csv({literal(str(scan.path))}, auto_detect = false, columns = {{{types}}}, "
        f"delim = '{delimiter}', quote = '\"', escape = '\"', header = true)"
    )


def rows_of(scan: Scan, columns: Sequence[str] = ()) -> str:
    """Give a SELECT of ``kind``, ``value`` and ``label`` over a file, unchecked.

    ``columns`` are those of the header of a csv or tsv file.
    """
    kind = literal(scan.kind)
    if scan.format == "txt":
        return f"SELECT {kind} AS kind, value, NULL::VARCHAR AS label FROM {lines_of(scan.path)}"
    if scan.format == "jsonl":
        return _json_rows(scan)
    if scan.format == "parquet":
        table = f"read_parquet({literal(str(scan.path))})"
    else:
        table = delimited(scan, columns)
    label = name(scan.segment_column) if scan.segment_column else "NULL"
    value = name(scan.column)
    return (
        f"SELECT {kind} AS kind, {value}::VARCHAR AS value, {label}::VARCHAR AS label FROM {table}"
    )


def _json_rows(scan: Scan) -> str:
    columns = dict.fromkeys(filter(None, (scan.column, scan.segment_column)))
    types = ", ".join(f"{literal(column)}: 'JSON'" for column in columns)
    file = literal(str(scan.path))
    table = f"read_json({file}, format = 'newline_delimited', columns = {{{types}}})"
    label = f"({name(scan.segment_column)}->>'$')" if scan.segment_column else "NULL::VARCHAR"
    value = name(scan.column)
    return (
        f"SELECT {literal(scan.kind)} AS kind, ({value}->>'$') AS value, {label} AS label, "
        f"json_type({value}) AS type FROM {table}"
    )


PROBLEM = f"""CASE
    WHEN value IS NULL THEN '{Problem.NULL}'
    WHEN regexp_full_match(value, '{SPACE_PATTERN}*') THEN '{Problem.EMPTY}'
    WHEN regexp_matches(value, '{CONTROL_PATTERN}') THEN '{Problem.CONTROL}'
    WHEN regexp_matches(value, '^{SPACE_PATTERN}|{SPACE_PATTERN}$') THEN '{Problem.SPACE}'
    WHEN length(value) > {MAX_CHARACTERS} THEN '{Problem.LONG}'
    WHEN lower(value) IN ({", ".join(literal(word) for word in sorted(PLACEHOLDERS))})
        THEN '{Problem.PLACEHOLDER}'
END"""
"""What is wrong with ``value``: the rules of ``identity.problem``, in the same order."""


def digest(text: str) -> str:
    """Give two aggregates that sum the high and low halves of a 128-bit hash of ``text``.

    The halves are summed apart, since a sum of 128-bit numbers would overflow; the
    caller puts them together modulo 2**128.
    """
    halves = (f"('0x' || substr(sha256({text}), {start}, 16))::UBIGINT" for start in (1, 17))
    return ", ".join(f"coalesce(sum({half}), 0)" for half in halves)


CANONICAL = "kind[1] || value"
"""``identity.canonical``, in SQL."""

NO_ROWS = "SELECT 0::INTEGER AS target, '' AS kind, '' AS value WHERE false"

COMPARED = """
SELECT coalesce(d.target, r.target) AS target,
       CASE WHEN d.value IS NULL THEN 'REMOVE' ELSE 'ADD' END AS action,
       coalesce(d.kind, r.kind) AS kind,
       coalesce(d.value, r.value) AS value,
       r.value IS NOT NULL AS recorded
FROM desired AS d
FULL JOIN recorded AS r ON d.target = r.target AND d.value = r.value AND d.kind = r.kind
WHERE d.value IS NULL OR r.value IS NULL
"""
"""The diff: one FULL JOIN that keeps the unmatched rows."""

UNANSWERED = """
SELECT p.target,
       CASE WHEN d.value IS NULL THEN 'REMOVE' ELSE 'ADD' END AS action,
       p.kind, p.value,
       r.value IS NOT NULL AS recorded,
       p.action AS asked, p.asked_at
FROM pairs AS p
LEFT JOIN desired AS d ON d.target = p.target AND d.value = p.value AND d.kind = p.kind
LEFT JOIN recorded AS r ON r.target = p.target AND r.value = p.value AND r.kind = p.kind
WHERE p.status = 'uncertain'
"""
"""Pairs whose last request got no answer: sent again in whichever direction is desired."""

DELTA = """
CREATE OR REPLACE TABLE delta AS
SELECT c.target, c.action, c.kind, c.value, c.recorded,
       false AS reasserted, NULL::DOUBLE AS settle_from
FROM compared AS c
ANTI JOIN pairs AS p ON p.target = c.target AND p.value = c.value AND p.kind = c.kind
    AND (p.status = 'uncertain' OR p.action = c.action)
UNION ALL
SELECT target, action, kind, value, recorded,
       true, CASE WHEN action <> asked THEN asked_at END
FROM unanswered
"""
"""The delta: what differs, less what is quarantined, and what must be asserted again."""

COUNTS = """
SELECT target,
       count(*) FILTER (WHERE action = 'ADD' AND NOT reasserted),
       count(*) FILTER (WHERE action = 'REMOVE' AND NOT reasserted),
       count(*) FILTER (WHERE reasserted),
       count(*) FILTER (WHERE action = 'ADD' AND NOT recorded),
       count(*) FILTER (WHERE action = 'REMOVE' AND recorded)
FROM delta GROUP BY target
"""

QUARANTINED = """
SELECT c.target, count(*)
FROM compared AS c
JOIN pairs AS p ON p.target = c.target AND p.value = c.value AND p.kind = c.kind
    AND p.status = 'refused' AND p.action = c.action
GROUP BY c.target
"""

SAMPLE = """
SELECT target, action, min({'kind': kind, 'value': value}, $most)
FROM delta WHERE NOT reasserted GROUP BY target, action
"""

STILL_WANTED = """
CREATE OR REPLACE TABLE delta AS
SELECT s.target, s.action, s.kind, s.value, r.value IS NOT NULL AS recorded,
       u.value IS NOT NULL AS reasserted,
       CASE WHEN u.action <> s.action THEN u.asked_at END AS settle_from
FROM saved AS s
LEFT JOIN recorded AS r ON r.target = s.target AND r.value = s.value AND r.kind = s.kind
LEFT JOIN (SELECT * FROM pairs WHERE status = 'uncertain') AS u
    ON u.target = s.target AND u.value = s.value AND u.kind = s.kind
ANTI JOIN (SELECT * FROM pairs WHERE status = 'refused') AS q
    ON q.target = s.target AND q.value = s.value AND q.kind = s.kind AND q.action = s.action
WHERE u.value IS NOT NULL OR (s.action = 'ADD') <> (r.value IS NOT NULL)
"""
"""What is left of a saved delta: the rows that the state does not show as done."""

PEOPLE = """
CREATE OR REPLACE TABLE people AS
SELECT kind, value, row_number() OVER (ORDER BY kind, value) - 1 AS number
FROM (SELECT DISTINCT kind, value FROM delta)
"""
"""Users numbered by their content, so that packing is the same wherever it runs."""

OUTCOMES = """
CREATE OR REPLACE TABLE landed AS
SELECT d.target, d.action, d.kind, d.value, d.recorded, o.outcome, o.asked_at
FROM read_parquet({delta}) AS d JOIN outcomes AS o ON d.request = o.request
ANTI JOIN blocked AS b ON d.target = b.target
"""

EXCEPTED = """
UPDATE landed SET outcome = e.outcome, asked_at = e.asked_at FROM exceptions AS e
WHERE landed.target = e.target AND landed.kind = e.kind AND landed.value = e.value
"""

APPLIED = """
CREATE OR REPLACE TABLE applied AS
SELECT target, action, kind, value FROM landed
WHERE outcome = 'acknowledged' AND (action = 'ADD') <> recorded
"""
"""What acknowledged requests changed; an assertion of what was so already changes nothing."""

PAIRS_AFTER = """
CREATE OR REPLACE TABLE pairs_after AS
SELECT p.* FROM pairs AS p
ANTI JOIN (SELECT * FROM landed WHERE outcome IN ('acknowledged', 'uncertain', 'refused')) AS l
    ON p.target = l.target AND p.kind = l.kind AND p.value = l.value
UNION ALL
SELECT l.target, l.kind, l.value, l.outcome, l.action, l.asked_at, coalesce(e.detail, '')
FROM landed AS l
LEFT JOIN exceptions AS e ON l.target = e.target AND l.kind = e.kind AND l.value = e.value
WHERE l.outcome IN ('uncertain', 'refused')
"""

MERGED = """
SELECT kind, value FROM (
    SELECT kind, value FROM (SELECT kind, value FROM recorded WHERE target = {target})
    ANTI JOIN (
        SELECT kind, value FROM applied WHERE target = {target} AND action = 'REMOVE'
    ) USING (kind, value)
    UNION ALL
    SELECT kind, value FROM applied WHERE target = {target} AND action = 'ADD'
) ORDER BY kind, value
"""
"""The whole set of one target after an apply: a new base file."""

CHANGED = """
SELECT action, kind, value FROM applied WHERE target = {target} ORDER BY kind, value
"""
"""What an apply changed in one target: a new change file."""

LEFT_OVER = """
SELECT kind, value, status, action, asked_at, detail FROM pairs_after WHERE target = {target}
ORDER BY kind, value
"""
"""The pairs of one target that have no acknowledgement after an apply."""
