"""Count anomalies of a list, which may be right: values that differ only in case, a header line.

Both are for warnings, so they must cost little next to reading the list. Most lists have no value
with an upper-case letter, or none with a lower-case one: then one pass over them is enough.
"""

from collections import Counter
from dataclasses import replace

import duckdb

from segctl.core.identity import Kind
from segctl.engine import sql
from segctl.engine.file_contents import first_line, name_file_in_errors
from segctl.engine.model import NO_ANOMALIES, Anomalies, FileScan, InlineRows

MAX_ODD_VALUES = 250_000
"""Of more values with an unusual case, only a random part is looked at."""

HEADER_WORDS = frozenset(
    "identity identities guid guids email emails e_mail e_mails mail email_address emailaddress "
    "user users user_id userid username id ids uid uuid customer customer_id customerid "
    "customer_email member member_id members phone phone_number mobile msisdn objectid "
    "contact_id account_id profile_id".split()
)
"""What a first line that is no user may say, in any case, with a blank or - for the _."""

_ODD = "SELECT count_if(value <> {case}(value)) FROM ({rows}) WHERE kind = '{kind}'"

_VARIANTS = """
WITH listed AS {kept} (SELECT value FROM ({rows}) WHERE kind = '{kind}' {part}),
odd AS (SELECT DISTINCT lower(value) AS folded FROM listed WHERE value <> {case}(value)),
found AS (
    SELECT DISTINCT l.value FROM listed AS l SEMI JOIN odd AS o ON lower(l.value) = o.folded
)
SELECT coalesce(sum(spellings), 0) FROM (
    SELECT count(*) FILTER (WHERE ({problem}) IS NULL) AS spellings
    FROM found GROUP BY lower(value)
) WHERE spellings > 1
"""
"""Of two values that differ only in case, one at least is not lower and one not upper case."""

_LIKE_HEADERS = """
SELECT count(*) FROM ({rows})
WHERE NOT contains(value, '@') AND regexp_full_match(value, '[\\pL _-]+')
    AND regexp_replace(lower(value), '[ -]', '_', 'g') NOT IN ({words})
"""


def find_anomalies(
    db: duckdb.DuckDBPyConnection,
    scan: FileScan | None,
    rows: str,
    *,
    has_upper_case: bool,
) -> Anomalies:
    """Return what looks wrong in ``rows``, a SELECT; ``scan`` if they are from files.

    ``has_upper_case`` is false if no value is known to have an upper-case letter.
    """
    found = Anomalies(header_lines=_count_header_lines(db, scan, rows) if scan else 0)
    return add_case_variants(db, found, rows) if has_upper_case else found


def add_case_variants(db: duckdb.DuckDBPyConnection, found: Anomalies, rows: str) -> Anomalies:
    """Add the number of values that differ from another in case."""
    variants, share = _count_case_variants(db, rows)
    return replace(found, case_variants=variants * share, case_share=share)


def find_inline_anomalies(rows: InlineRows) -> Anomalies:
    """Return what looks wrong in a list of a manifest."""
    if rows.kind != Kind.IDENTITY or all(map(str.islower, rows.values)):
        return NO_ANOMALIES
    spellings = Counter(value.lower() for value in set(rows.values))
    return Anomalies(case_variants=sum(n for n in spellings.values() if n > 1))


def _count_case_variants(db: duckdb.DuckDBPyConnection, rows: str) -> tuple[int, int]:
    """Count the values that differ from another in case, in one of so many parts of them."""
    few, case = MAX_ODD_VALUES, ""
    for name in ("lower", "upper"):
        query = _ODD.format(case=name, rows=rows, kind=Kind.IDENTITY)
        [[odd]] = db.execute(query).fetchall()
        if not odd:
            return 0, 1
        if not case or odd < few:
            few, case = odd, name
    share = -(-few // MAX_ODD_VALUES)
    part, kept = "", "NOT MATERIALIZED"
    if share > 1:
        part, kept = f"AND hash(lower(value)) % {share} = 0", "MATERIALIZED"
    query = _VARIANTS.format(
        rows=rows, kind=Kind.IDENTITY, case=case, part=part, kept=kept, problem=sql.VALUE_PROBLEM
    )
    [[variants]] = db.execute(query).fetchall()
    return int(variants), share


def _count_header_lines(db: duckdb.DuckDBPyConnection, scan: FileScan, rows: str) -> int:
    """Count the txt files whose first line is a word for users, if no other line is a word."""
    if scan.format != "txt" or scan.column in scan.partitions:
        return 0
    found = 0
    for path in scan.paths:
        with name_file_in_errors(path):
            found += is_header(first_line(path, scan.comments))
    if found:
        words = ", ".join(map(sql.literal, sorted(HEADER_WORDS)))
        [[others]] = db.execute(_LIKE_HEADERS.format(rows=rows, words=words)).fetchall()
        found = 0 if others else found
    return found


def is_header(line: str) -> bool:
    """Return whether a line says what a list holds, and is no user."""
    return line.strip().lower().replace(" ", "_").replace("-", "_") in HEADER_WORDS
