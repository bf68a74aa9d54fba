"""A user's SELECT: what it may contain, and which files it reads.

The text is checked against a list of what is allowed, not of what is forbidden: a
SELECT can hold INSERT or COPY in a WITH clause, and functions that read anything.
Each file name is replaced by the real files that it stands for, since the sealed
database opens files by their exact names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from segctl.engine.base import CheckedQuery, SourceError
from segctl.engine.sql import paths
from segctl.sources.files import partitions
from segctl.sources.path_policy import PathPolicy
from segctl.sources.repeatable import is_repeatable

Tree = Mapping[str, Any]

_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLES = frozenset(
    {"BASE_TABLE", "TABLE_FUNCTION", "JOIN", "SUBQUERY", "EXPRESSION_LIST", "EMPTY", "PIVOT"}
)
_READERS = {
    "read_csv": "csv",
    "read_csv_auto": "csv",
    "read_parquet": "parquet",
    "parquet_scan": "parquet",
    "read_json": "json",
    "read_json_auto": "json",
    "read_ndjson": "json",
    "read_ndjson_auto": "json",
}
_GENERATORS = frozenset({"range", "generate_series", "unnest"})
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
_FUNCTIONS = {"csv": "read_csv", "parquet": "read_parquet", "json": "read_json"}
_TYPED = frozenset(
    {"all_varchar", "types", "dtypes", "column_types", "columns", "auto_type_candidates"}
)
_DELIMITER = frozenset({"delim", "delimiter", "sep", "separator"})
_MARKS = {".csv": ",", ".tsv": "\t"}
_AS_WRITTEN = {
    "header": "true",
    "quote": "'\"'",
    "escape": "'\"'",
    "comment": "''",
    "skip": "0",
    "strict_mode": "true",
}
_HIVE = frozenset({"hive_partitioning", "hive_types", "hive_types_autocast"})
_FORBIDDEN = ("getenv", "getvariable", "current_setting", "write_log", "__internal", "duckdb_")


@dataclass
class _Found:
    """What a walk through a tree finds: names of common tables, replacements in the text."""

    common: set[str] = field(default_factory=set)
    splices: list[tuple[int, int, str]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def prepare(
    sql: str,
    parameters: Mapping[str, str],
    policy: PathPolicy,
    parse: Callable[[str], Tree],
    *,
    segment_column: str | None = None,
) -> CheckedQuery:
    """Check a query and resolve its files; raises ``SourceError``."""
    text = sql.strip().rstrip(";").rstrip()
    tree = parse(text)
    if len(tree["statements"]) != 1:
        raise SourceError(
            "query-not-select",
            f"the query has {len(tree['statements'])} statements",
            "Write one SELECT.",
        )
    found = _Found()
    nodes = list(_walk(tree["statements"][0]["node"]))
    for node in nodes:
        found.common.update(entry["key"].lower() for entry in _common(node))
    encoded = text.encode()
    for node in nodes:
        _check(node, encoded, policy, found)
    for start, end, replacement in sorted(found.splices, reverse=True):
        encoded = encoded[:start] + replacement.encode() + encoded[end:]
    return CheckedQuery(
        sql=encoded.decode(),
        parameters=parameters,
        files=tuple(dict.fromkeys(found.files)),
        segment_column=segment_column,
        repeatable=is_repeatable(nodes),
    )


def _walk(tree: Any) -> Iterator[Tree]:
    """Give every object of the tree, outermost first."""
    stack = [tree]
    while stack:
        part = stack.pop()
        if isinstance(part, Mapping):
            yield part
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)


def _common(node: Tree) -> list[Tree]:
    map_ = node.get("cte_map")
    recursive = [{"key": node["cte_name"]}] if node.get("cte_name") else []
    return [*(map_["map"] if isinstance(map_, Mapping) else []), *recursive]


def _check(node: Tree, text: bytes, policy: PathPolicy, found: _Found) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _NODES:
        raise _forbidden(f"contains {kind.removesuffix('_QUERY_NODE').removesuffix('_NODE')}")
    is_table = "sample" in node and "alias" in node and "class" not in node
    if is_table and kind not in _TABLES:
        raise _forbidden(f"reads from {kind.lower().replace('_', ' ')}")
    if kind == "BASE_TABLE":
        _resolve_table(node, text, policy, found)
    elif kind == "TABLE_FUNCTION":
        _resolve_function(node["function"], policy, found)
    elif kind == "FUNCTION":
        called = str(node.get("function_name", "")).lower()
        if called.startswith(_FORBIDDEN):
            raise _forbidden(f"calls {called}()")


def _resolve_table(node: Tree, text: bytes, policy: PathPolicy, found: _Found) -> None:
    """Put the real files in place of a table that is a file name."""
    table = str(node["table_name"])
    if table.lower() in found.common and not node.get("schema_name"):
        return
    path = ".".join(node.get("qualified_name", {}).get("path", [table]))
    suffix = next((s for s in Path(path.lower()).suffixes if s in _SUFFIXES), None)
    if suffix is None:
        raise SourceError(
            "query-table",
            f'the query reads a table "{path}", which does not exist',
            "A query reads files: name one in single quotes, such as 'members/gold.parquet'.",
        )
    start = int(node["query_location"])
    end = _end_of_name(text, start)
    reader = _SUFFIXES[suffix]
    names = policy.find(path)
    files = [policy.locate(name) for name in names]
    options = _dialect(names, frozenset()) if reader == "csv" else ""
    options += _partitioned(names)
    found.files.extend(files)
    found.splices.append((start, end, f"{_FUNCTIONS[reader]}({paths(files)}{options})"))


def _end_of_name(text: bytes, start: int) -> int:
    """Give where a quoted name in the text ends; a doubled quote stands for one."""
    quote = text[start : start + 1]
    if quote not in (b"'", b'"'):
        raise SourceError(
            "query-forbidden",
            "the query names a file without quotes",
            "Write it in single quotes, such as 'members/gold.csv'.",
        )
    end = start + 1
    while end < len(text):
        if text[end : end + 1] == quote:
            if text[end + 1 : end + 2] != quote:
                return end + 1
            end += 1
        end += 1
    return end


def _resolve_function(function: Tree, policy: PathPolicy, found: _Found) -> None:
    """Put the real files in place of the first argument of a reading function."""
    called = str(function.get("function_name", "")).lower()
    if called in _GENERATORS:
        return
    if called not in _READERS:
        raise _forbidden(f"calls {called}()")
    arguments = function["arguments"]
    if not arguments or arguments[0].get("name"):
        raise _forbidden(f"calls {called}() without a file name")
    first = arguments[0]["expression"]
    start = int(first["query_location"])
    end = start + int(first["query_location_length"])
    names = [name for path in _literals(first, called) for name in policy.find(path)]
    files = [policy.locate(name) for name in names]
    named = {_option(argument) for argument in arguments[1:]}
    extra = ""
    if _READERS[called] == "csv":
        extra += _dialect(names, named)
    extra += "" if named & _HIVE else _partitioned(names)
    found.files.extend(files)
    found.splices.append((start, end, paths(files) + extra))


def _dialect(names: Sequence[str], named: AbstractSet[str]) -> str:
    """Say how csv files are written, where a query does not: none of it is guessed.

    DuckDB would find another dialect that fits a file which was cut, or has one wrong row:
    without quotes, of one column, or with all rows but the last to be skipped.
    """
    said = {} if named & _TYPED else {"all_varchar": "true"}
    said |= {option: value for option, value in _AS_WRITTEN.items() if option not in named}
    marks = {_mark(name) for name in names}
    if len(marks) == 1 and "" not in marks and not named & _DELIMITER:
        said["delim"] = f"'{marks.pop()}'"
    if "quote" in named:
        said.pop("escape", None)
    return "".join(f", {option} = {value}" for option, value in said.items())


def _mark(name: str) -> str:
    """Give what parts the values of a file by its name, nothing where that does not tell."""
    suffixes = PurePosixPath(name.lower()).suffixes
    return next((mark for suffix, mark in _MARKS.items() if suffix in suffixes), "")


def _partitioned(names: Sequence[str]) -> str:
    """Make columns of folders named ``day=2026-01-31``, where all files have the same; as text."""
    columns = {tuple(partitions(name)) for name in names}
    if len(columns) == 1 and columns != {()}:
        return ", hive_partitioning = true, hive_types_autocast = false"
    return ", hive_partitioning = false"


def _option(argument: Tree) -> str:
    """Give the name of a named argument, written ``a := 1`` or ``a = 1``."""
    if argument.get("name"):
        return str(argument["name"]).lower()
    left = argument["expression"].get("left", {})
    return str((left.get("column_names") or [""])[0]).lower()


def _literals(argument: Tree, called: str) -> list[str]:
    """Give the file names in an argument: one string, or a list of strings."""
    if argument.get("type") == "VALUE_CONSTANT":
        literal = argument.get("literal", {})
        if literal.get("kind") == "STRING":
            return [str(literal["text"])]
    elements = argument.get("arguments") or argument.get("children")
    if argument.get("function_name") in ("list_value", "array") and elements:
        return [
            text
            for element in elements
            for text in _literals(element.get("expression", element), called)
        ]
    raise SourceError(
        "query-forbidden",
        f"the query computes the file name of {called}()",
        "Write file names as strings in single quotes, so that they can be checked.",
    )


def _forbidden(what: str) -> SourceError:
    return SourceError(
        "query-forbidden",
        f"the query {what}, which is not allowed",
        "A query may read files of the workspace with SELECT, and nothing else.",
    )
