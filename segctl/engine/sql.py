"""The SQL of the engine, written once; ``duckdb.py`` runs it.

Every relation of members has the columns ``target`` (index of a segment of the
service), ``kind`` and ``value``; kinds and actions are the words of the service.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from segctl.core.identity import (
    CONTROL_PATTERN,
    MAX_CHARACTERS,
    PLACEHOLDERS,
    SPACE_PATTERN,
    IdentityProblem,
)
from segctl.engine.model import FileScan

# A separator that no line has: lines of a text file are values as they stand.
LINES = (
    "columns = {'value': 'VARCHAR'}, delim = '\x01\x02\x03', "
    "quote = '', escape = '', header = false"
)


_FILE = "segctl_file"


def literal(text: str) -> str:
    """Quote a string for SQL."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + text.replace('"', '""') + '"'


def plainly(file: Path) -> str:
    """Give a file's name as the pattern that it alone matches: reading functions take globs."""
    return re.sub(r"[*?[]", r"[\g<0>]", str(file))


def file(path: Path) -> str:
    """Give a file name for a reading function."""
    return literal(plainly(path))


def paths(files: Iterable[Path]) -> str:
    """Give a list of file names for a reading function."""
    return "[" + ", ".join(file(path) for path in files) + "]"


def lines_of(files: Iterable[Path]) -> str:
    """Give the reading function of text files that have one column, ``value``: their lines.

    A line may end in any way, since those in quoted values may differ from all others.
    """
    return f"read_csv({paths(files)}, auto_detect = false, strict_mode = false, {LINES})"


def _delimited(scan: FileScan, columns: Sequence[str], *, at_once: bool) -> str:
    """Give the reading function of csv or tsv files that share a header, which is known.

    Nothing is guessed: DuckDB would take one file for this dialect and the next
    for that one.  Columns are named by their places: the names in a header may be empty,
    repeat, or differ in case alone.
    """
    types = ", ".join(f"{_place(place)}: 'VARCHAR'" for place in range(len(columns)))
    delimiter = "\t" if scan.format == "tsv" else ","
    parallel = "" if at_once else ", parallel = false"
    return (
        f"read_csv({paths(scan.paths)}, auto_detect = false, columns = {{{types}}}, "
        f"delim = '{delimiter}', quote = '\"', escape = '\"', header = true"
        f"{parallel}{_options(scan)})"
    )


def copied(path: Path) -> str:
    """Give a SELECT of ``identity``, ``guid`` and ``label`` over what COPY wrote as text.

    COPY escapes what would end a value or a line by a backslash, and a backslash by
    another; the escapes stand for the characters that text has instead.
    """
    names = ("identity", "guid", "label")
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    table = (
        f"read_csv({file(path)}, auto_detect = false, columns = {{{columns}}}, delim = '\t', "
        "quote = '', escape = '', header = true, new_line = '\\n', nullstr = '\\N')"
    )
    return f"SELECT {', '.join(f'{_unescaped(name)} AS {name}' for name in names)} FROM {table}"


def _unescaped(column: str) -> str:
    """Give an expression that takes COPY's backslashes off; text has no NUL to stand in its way."""
    value = f"replace({column}, '\\\\', chr(0))"
    for letter, code in (("b", 8), ("t", 9), ("n", 10), ("v", 11), ("f", 12), ("r", 13)):
        value = f"replace({value}, '\\{letter}', chr({code}))"
    value = f"replace({value}, chr(0), '\\')"
    return f"CASE WHEN contains({column}, '\\') THEN {value} ELSE {column} END"


def rows_of(scan: FileScan, columns: Sequence[str] = (), *, at_once: bool = True) -> str:
    """Give a SELECT of ``kind``, ``value`` and ``label`` over files, unchecked.

    ``columns`` are those of the header of csv or tsv files; threads may begin in the midst
    of such a file ``at_once``.  Of jsonl there is ``type`` too, that of the value in JSON.
    """
    lines = scan.format == "txt" and scan.column not in scan.partitions
    value = "f.value" if lines else _cell(scan, scan.column, columns)
    kind_of_json = ""
    if scan.format == "jsonl" and scan.column in scan.file_columns:
        kind_of_json = f", json_type(f.{name(scan.column)}) AS type"
    elif scan.format == "jsonl":
        kind_of_json = ", 'VARCHAR' AS type"
    return (
        f"SELECT {literal(scan.kind)} AS kind, {value} AS value, "
        f"{_cell(scan, scan.segment_column, columns)} AS label{kind_of_json} "
        f"FROM {_table(scan, columns, at_once=at_once)}"
    )


def _place(number: int) -> str:
    return f"c{number}"


def _cell(scan: FileScan, column: str | None, columns: Sequence[str]) -> str:
    """Give the text of a column, which stands in the files or in the names of their folders."""
    if column is None or (scan.format == "txt" and column not in scan.partitions):
        return "NULL::VARCHAR"
    if column in scan.partitions:
        return f"p.{name(column)}::VARCHAR"
    if scan.format in ("csv", "tsv"):
        return f"f.{_place(columns.index(column))}"
    return f"(f.{name(column)}->>'$')" if scan.format == "jsonl" else f"f.{name(column)}::VARCHAR"


def _table(scan: FileScan, columns: Sequence[str], *, at_once: bool) -> str:
    """Give the files as the table ``f``, beside ``p``, the partitions that they are in."""
    match scan.format:
        case "txt":
            table = f"read_csv({paths(scan.paths)}, auto_detect = false, {LINES}{_options(scan)})"
        case "parquet":
            table = f"read_parquet({paths(scan.paths)}{_options(scan)})"
        case "jsonl":
            wanted = dict.fromkeys(scan.file_columns or (scan.column,))
            types = ", ".join(f"{literal(column)}: 'JSON'" for column in wanted)
            table = (
                f"read_json({paths(scan.paths)}, format = 'newline_delimited', records = true, "
                f"columns = {{{types}}}{_options(scan)})"
            )
        case _:
            table = _delimited(scan, columns, at_once=at_once)
    if not scan.partitions:
        return f"{table} AS f"
    names = ", ".join(name(column) for column in scan.partitions)
    rows = ", ".join(_partition(scan, path) for path in scan.paths)
    return f"{table} AS f JOIN (VALUES {rows}) AS p({_FILE}, {names}) ON f.{_FILE} = p.{_FILE}"


def _options(scan: FileScan) -> str:
    """Give what every reading function is told.

    Of a file in a folder ``day=2026-01-31`` DuckDB would make ``day`` a column itself,
    of a type that it guesses.
    """
    return ", hive_partitioning = false" + (f", filename = '{_FILE}'" if scan.partitions else "")


def _partition(scan: FileScan, path: Path) -> str:
    values = (of[path] for of in scan.partitions.values())
    cells = ("NULL" if value is None else literal(value) for value in values)
    return f"({literal(str(path))}, {', '.join(cells)})"


PROBLEM = f"""CASE
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
"""What is wrong with ``value``: the rules of ``identity.find_problem``.

Most values are plain ASCII; one look tells that nothing is wrong with these but,
perhaps, that they are placeholders.
"""


def digest(text: str) -> str:
    """Give two aggregates that sum the high and low halves of a 128-bit hash of ``text``.

    The halves are summed apart, since a sum of 128-bit numbers would overflow; the
    caller puts them together modulo 2**128.
    """
    split_in_half = (f"('0x' || substr(sha256({text}), {start}, 16))::UBIGINT" for start in (1, 17))
    return ", ".join(f"coalesce(sum({half}), 0)" for half in split_in_half)


CANONICAL = "kind[1] || value"
"""``identity.canonical``, in SQL."""

READ_ALL = "SELECT bit_xor(hash(COLUMNS(*))) FROM ({rows})"
"""Reads every value of some rows; for less, the statistics of a Parquet file may do."""

NO_ROWS = "SELECT 0::INTEGER AS target, '' AS kind, '' AS value WHERE false"

LET_GO = "DELETE FROM pairs WHERE status = 'refused' AND asked_at < $1"
"""Ends the quarantine of pairs that were refused long enough ago."""

NO_DESIRED = (
    "SELECT 0::INTEGER AS load, 0::INTEGER AS target, '' AS kind, '' AS value, "
    "NULL::VARCHAR AS label WHERE false"
)

LISTED = """
SELECT p.load, p.target, s.kind, s.value, NULL::VARCHAR AS label
FROM listed AS s JOIN (VALUES {pairs}) AS p(load, target) ON s.load = p.load
"""
"""What lists in manifests ask for, all at once; ``pairs`` says which target each fills."""

WITHOUT_EXCLUDED = """
SELECT d.* FROM ({desired}) AS d
ANTI JOIN excluded AS e ON e.target = d.target AND e.value = d.value AND e.kind = d.kind
"""

_PROBLEM = PROBLEM.replace("{", "{{").replace("}", "}}")

UNMATCHED = f"""
CREATE OR REPLACE TABLE unmatched AS
SELECT *, CASE WHEN load IS NOT NULL AND target IS NOT NULL THEN {_PROBLEM} END AS problem
FROM (
    SELECT l.load, l.label, coalesce(l.target, r.target) AS target, {{kind}} AS kind,
           coalesce(l.value, r.value) AS value
    FROM ({{desired}}) AS l
    FULL JOIN recorded AS r ON l.value = r.value{{together}}
    WHERE l.load IS NULL OR r.value IS NULL
)
"""
"""The diff: one FULL JOIN that keeps the unmatched rows; ``load`` tells their side.

Where there is one kind alone, ``kind`` is that, and the join looks at values only.
"""

KINDS = """
SELECT min(coalesce(stats_min_value, '')), max(coalesce(stats_max_value, ''))
FROM parquet_metadata({files}) WHERE path_in_schema = 'kind'
"""
"""The first and the last kind in files of the state, by what each of their parts says of itself."""

BOTH_KINDS = "coalesce(l.kind, r.kind)"

COMPARED = """
CREATE OR REPLACE TABLE compared AS
SELECT target, 'REMOVE' AS action, kind, value, true AS recorded
FROM unmatched WHERE load IS NULL
"""

JOINING = """
INSERT INTO compared
SELECT DISTINCT target, 'ADD', kind, value, false
FROM unmatched WHERE load IS NOT NULL AND target IS NOT NULL AND problem IS NULL AND {part}
"""
"""What is desired and not recorded, each once; ``part`` is a condition on ``value``."""

INVALID = """
SELECT load, problem, count(*) FROM unmatched WHERE problem IS NOT NULL
GROUP BY load, problem ORDER BY load, problem
"""

OTHERS = """
SELECT load, label, count(*) AS found FROM unmatched
WHERE load IS NOT NULL AND target IS NULL
GROUP BY load, label ORDER BY load, found DESC, label
"""

ADDED = "SELECT target, count(*) FROM compared WHERE action = 'ADD' GROUP BY target"

DISTINCT_ODD = """
SELECT load, target, count(*) FROM (
    SELECT DISTINCT load, target, kind, value, label FROM unmatched
    WHERE load IS NOT NULL AND (target IS NULL OR problem IS NOT NULL)
) GROUP BY load, target
"""
"""Distinct rows that are for nobody, or invalid."""

REMOVED = "SELECT target, count(*) FROM unmatched WHERE load IS NULL GROUP BY target"

UNANSWERED = """
CREATE OR REPLACE TABLE unanswered AS
WITH unsure AS (SELECT * FROM pairs WHERE status = 'uncertain'),
hoped AS (
    SELECT DISTINCT d.target, d.kind, d.value FROM ({desired}) AS d SEMI JOIN unsure AS u
    ON d.target = u.target AND d.value = u.value AND d.kind = u.kind
),
held AS (
    SELECT r.target, r.kind, r.value FROM recorded AS r SEMI JOIN unsure AS u
    ON r.target = u.target AND r.value = u.value AND r.kind = u.kind
)
SELECT u.target,
       CASE WHEN h.value IS NULL THEN 'REMOVE' ELSE 'ADD' END AS action,
       u.kind, u.value,
       r.value IS NOT NULL AS recorded,
       u.action AS asked, u.asked_at
FROM unsure AS u
LEFT JOIN hoped AS h ON h.target = u.target AND h.value = u.value AND h.kind = u.kind
LEFT JOIN held AS r ON r.target = u.target AND r.value = u.value AND r.kind = u.kind
"""
"""Pairs whose last request got no answer: sent again in whichever direction is desired."""

DELTA = """
CREATE OR REPLACE VIEW delta AS
SELECT target, action, kind, value, recorded,
       false AS reasserted, NULL::DOUBLE AS settle_from
FROM compared
"""
"""The delta where no pair is quarantined or without an answer."""

DELTA_BESIDE_PAIRS = """
CREATE OR REPLACE TABLE beside_pairs AS
SELECT c.target, c.action, c.kind, c.value, c.recorded,
       false AS reasserted, NULL::DOUBLE AS settle_from
FROM compared AS c
ANTI JOIN pairs AS p ON p.target = c.target AND p.value = c.value AND p.kind = c.kind
    AND (p.status = 'uncertain' OR p.action = c.action)
UNION ALL
SELECT target, action, kind, value, recorded,
       true, CASE WHEN action <> asked THEN asked_at END
FROM unanswered;
CREATE OR REPLACE VIEW delta AS FROM beside_pairs
"""
"""The delta: what differs, less what is quarantined, and what must be asserted again."""

RELEASED = """
CREATE OR REPLACE TABLE released AS
SELECT p.target, p.action, p.kind, p.value
FROM pairs AS p
ANTI JOIN compared AS c ON p.target = c.target AND p.value = c.value AND p.kind = c.kind
    AND p.action = c.action
WHERE p.status = 'refused'
"""
"""Refused pairs that nobody asks for any more: they leave quarantine with the next apply."""

EXPIRED = "DELETE FROM pairs WHERE status = 'refused' AND asked_at < $1"
"""Refused pairs whose time in quarantine is over are compared like any other."""

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
SELECT c.target, count(*), count(*) FILTER (WHERE c.action = 'ADD')
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
CREATE OR REPLACE TABLE still_wanted AS
SELECT s.target, s.action, s.kind, s.value, r.value IS NOT NULL AS recorded,
       u.value IS NOT NULL AS reasserted,
       CASE WHEN u.action <> s.action THEN u.asked_at END AS settle_from
FROM saved AS s
LEFT JOIN recorded AS r ON r.target = s.target AND r.value = s.value AND r.kind = s.kind
LEFT JOIN (SELECT * FROM pairs WHERE status = 'uncertain') AS u
    ON u.target = s.target AND u.value = s.value AND u.kind = s.kind
ANTI JOIN (SELECT * FROM pairs WHERE status = 'refused') AS q
    ON q.target = s.target AND q.value = s.value AND q.kind = s.kind AND q.action = s.action
WHERE u.value IS NOT NULL OR (s.action = 'ADD') <> (r.value IS NOT NULL);
CREATE OR REPLACE VIEW delta AS FROM still_wanted
"""
"""What is left of a saved delta: the rows that the state does not show as done."""

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

LEFT = """
SELECT p.target FROM (
    SELECT target, count(*) AS changes FROM read_parquet({delta}) WHERE request >= 0
    GROUP BY target
) AS p
LEFT JOIN (
    SELECT target, count(*) AS changes FROM landed WHERE outcome = 'acknowledged'
    GROUP BY target
) AS l USING (target)
WHERE l.changes IS DISTINCT FROM p.changes
"""
"""The targets for which some change was not acknowledged."""

RELEASED_BY = """
CREATE OR REPLACE TABLE released AS
SELECT target, action, kind, value FROM read_parquet({delta}) WHERE request < 0
"""

PAIRS_AFTER = """
CREATE OR REPLACE TABLE pairs_after AS
SELECT p.* FROM pairs AS p
ANTI JOIN (SELECT * FROM landed WHERE outcome IN ('acknowledged', 'uncertain', 'refused')) AS l
    ON p.target = l.target AND p.kind = l.kind AND p.value = l.value
ANTI JOIN released AS f
    ON p.target = f.target AND p.kind = f.kind AND p.value = f.value AND p.action = f.action
    AND p.status = 'refused'
UNION ALL
SELECT l.target, l.kind, l.value, l.outcome, l.action, l.asked_at, coalesce(e.detail, '')
FROM landed AS l
LEFT JOIN exceptions AS e ON l.target = e.target AND l.kind = e.kind AND l.value = e.value
WHERE l.outcome IN ('uncertain', 'refused')
"""

BY_MEMBER = "kind = 'identity', value"
"""The order of kinds and values, both as text; a kind spelled out would fill a sorter's keys."""

MERGED = f"""
SELECT kind, value FROM (
    SELECT kind, value FROM (SELECT kind, value FROM recorded WHERE target = {{target}})
    ANTI JOIN (
        SELECT kind, value FROM applied WHERE target = {{target}} AND action = 'REMOVE'
    ) USING (kind, value)
    UNION ALL
    SELECT kind, value FROM applied WHERE target = {{target}} AND action = 'ADD'
) ORDER BY {BY_MEMBER}
"""
"""The whole set of one target after an apply: a new base file."""

CHANGED = f"""
SELECT action, kind, value FROM applied WHERE target = {{target}} ORDER BY {BY_MEMBER}
"""
"""What an apply changed in one target: a new change file."""

LEFT_OVER = f"""
SELECT kind, value, status, action, asked_at, detail FROM pairs_after WHERE target = {{target}}
ORDER BY {BY_MEMBER}
"""
"""The pairs of one target that have no acknowledgement after an apply."""
