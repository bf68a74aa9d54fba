"""Whether a query returns the same rows for the same files on every run.

The check uses a list of what is safe, not of what is unsafe: DuckDB has over two thousand
functions, and even one that it declares consistent, ``age``, reads the clock. A query that
is not recognised runs on every plan.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Tree = Mapping[str, Any]

_EXPRESSIONS = frozenset(
    "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION OPERATOR "
    "PARAMETER STAR SUBQUERY TYPE WINDOW".split()
)

_FUNCTIONS = frozenset(
    # operators
    "+ - * / // % ^ ** & | << >> ~ || ~~ !~~ ~~* !~~* ~~~ -> ->> ! @ "
    # text
    "ascii base64 chr concat concat_ws contains ends_with format from_base64 hash hex "
    "ilike_escape instr lcase left left_grapheme length like_escape lower lpad ltrim md5 "
    "not_ilike_escape not_like_escape nfc_normalize ord position prefix printf regexp_extract "
    "regexp_extract_all regexp_full_match regexp_matches regexp_replace regexp_split_to_array "
    "repeat replace reverse right rpad rtrim sha1 sha256 split split_part starts_with "
    "str_split strip_accents strlen strpos string_split substr substring suffix to_base64 "
    "translate trim ucase unhex unicode upper "
    # numbers
    "abs ceil ceiling even exp floor gcd greatest isfinite isinf isnan lcm least ln log log10 "
    "log2 mod pow power round sign sqrt trunc xor "
    # dates, without the functions that may read the clock
    "date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day "
    "dayname dayofmonth dayofweek dayofyear epoch epoch_ms hour isodow isoyear last_day "
    "make_date make_timestamp minute month monthname quarter second strftime strptime "
    "to_centuries to_days to_decades to_hours to_microseconds to_milliseconds to_minutes "
    "to_months to_quarters to_seconds to_weeks to_years try_strptime week weekday weekofyear "
    "year yearweek "
    # conditions, lists, JSON
    "array_contains array_has array_length coalesce ifnull json_array_length json_exists "
    "json_extract json_extract_path json_extract_path_text json_extract_string json_type "
    "json_valid len list_contains list_has list_value nullif struct_extract struct_pack "
    "unnest "
    # aggregates that do not depend on the order of rows
    "avg bit_and bit_or bool_and bool_or count count_if count_star countif max mean median "
    "min quantile quantile_cont quantile_disc stddev stddev_pop stddev_samp sum var_pop "
    "var_samp variance "
    # ranks, which are equal for equal rows
    "cume_dist dense_rank percent_rank rank "
    # generators
    "generate_series range".split()
)

_READERS = frozenset(
    "parquet_scan read_csv read_csv_auto read_json read_json_auto read_ndjson read_ndjson_auto "
    "read_parquet".split()
)

_CLOCKS = frozenset(
    "current_catalog current_date current_role current_schema current_time current_timestamp "
    "current_user get_current_time localtime localtimestamp now session_user today user".split()
)
"""Names without parentheses that are functions if there is no such column."""

_FRAMES = {
    ("UNBOUNDED_PRECEDING", "CURRENT_ROW_RANGE"),
    ("UNBOUNDED_PRECEDING", "UNBOUNDED_FOLLOWING"),
}
"""Window frames that keep equal rows together. One counted in rows may split them."""

_NO_ORDINALITY = "WITHOUT_ORDINALITY"
_ZONED = ("TIME ZONE", "TIMESTAMPTZ", "TIMETZ")
_LIMITS = frozenset({"LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"})


def is_repeatable(nodes: Iterable[Tree]) -> bool:
    """Whether a SELECT with these tree nodes returns the same rows each time."""
    return all(map(_is_repeatable_node, nodes))


def _is_repeatable_node(node: Tree) -> bool:
    kind = str(node.get("type", ""))
    if kind in _LIMITS or any(node.get(clause) for clause in ("sample", "distinct_on_targets")):
        return False
    if node.get("with_ordinality", _NO_ORDINALITY) != _NO_ORDINALITY:
        return False
    if kind == "JOIN":
        return node.get("ref_type") in ("REGULAR", "NATURAL", "CROSS")
    return "class" not in node or _is_repeatable_expression(node, str(node["class"]))


def _is_repeatable_expression(node: Tree, expression: str) -> bool:
    """Whether an expression has the same value for the same row each time."""
    if expression in ("FUNCTION", "WINDOW"):
        called = str(node.get("function_name", "")).lower()
        framed = expression == "WINDOW" and (node.get("start"), node.get("end")) not in _FRAMES
        return not framed and (called in _FUNCTIONS or called in _READERS)
    if expression == "COLUMN_REF":
        return str((node.get("column_names") or [""])[-1]).lower() not in _CLOCKS
    if expression == "TYPE":
        return not any(word in str(node.get("type_name", "")).upper() for word in _ZONED)
    return expression in _EXPRESSIONS
