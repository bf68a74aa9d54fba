"""Check a user's SELECT: what it may contain, and which files it reads.

The query is checked against a list of what is allowed, not of what is forbidden: a SELECT
can contain INSERT or COPY in a WITH clause, and functions that read anything. Each file
name is replaced by the real files that it means, since the sealed database opens files only
by their exact names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from segctl.engine.model import CheckedQuery, SourceError
from segctl.engine.scan_sql import txt_table
from segctl.engine.source_errors import not_a_select, several_statements
from segctl.engine.sql import WHOLE_NUMBERS, file_names
from segctl.manifests.desired import DEFAULT_QUERY_LIMITS, DEFAULT_TIME_ZONE, QueryLimits
from segctl.manifests.file_formats import SAVE_AS_CSV, is_spreadsheet
from segctl.manifests.sql_parameters import trim_statement
from segctl.sources.files import check_not_compressed, partition_values
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
_FORMATS = {
    ".txt": "txt",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
_READER_OF = {"csv": "read_csv", "parquet": "read_parquet", "json": "read_json"}
_TYPE_OPTIONS = frozenset(
    {"all_varchar", "types", "dtypes", "column_types", "columns", "auto_type_candidates"}
)
_JSON_TYPE_OPTIONS = frozenset({"columns", "convert_strings_to_integers"})
_DELIMITER_OPTIONS = frozenset({"delim", "delimiter", "sep", "separator"})
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_DIALECT = {
    "header": "true",
    "quote": "'\"'",
    "escape": "'\"'",
    "comment": "''",
    "skip": "0",
    "strict_mode": "true",
}
_HIVE_OPTIONS = frozenset({"hive_partitioning", "hive_types", "hive_types_autocast"})
_FORBIDDEN = ("getenv", "getvariable", "current_setting", "write_log", "__internal", "duckdb_")


@dataclass
class _Rewrite:
    """What a walk through a query collects.

    ``common_tables`` are the names in WITH clauses. ``replacements`` are byte ranges of the
    text, each with its new text. ``headers`` are the CSV files with a header, each with its
    delimiter, and ``lists`` the txt files.
    """

    common_tables: set[str] = field(default_factory=set)
    replacements: list[tuple[int, int, str]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    headers: list[tuple[Path, str]] = field(default_factory=list)
    lists: list[Path] = field(default_factory=list)
    uncertain_types: set[str] = field(default_factory=set)

    def add_uncertain_types(self, format_: str, given_options: AbstractSet[str]) -> None:
        """Note the types that may hide how a value is written in the file.

        With types of its own, a query reads 0012 as the number 12. In JSON, DuckDB takes a text of
        any case for a UUID.
        """
        if format_ == "json":
            self.uncertain_types.add("UUID")
        if given_options & (_TYPE_OPTIONS if format_ == "csv" else _JSON_TYPE_OPTIONS):
            self.uncertain_types |= {"UUID", *WHOLE_NUMBERS}

    def add_headers(
        self, names: Sequence[str], files: Sequence[Path], given_options: AbstractSet[str]
    ) -> None:
        """Note the header of each CSV file that the query reads as segctl would write it."""
        if not given_options & (_DELIMITER_OPTIONS | {"header", "skip", "names", "quote"}):
            pairs = ((f, _delimiter(name)) for name, f in zip(names, files, strict=True))
            self.headers += [(file, delimiter) for file, delimiter in pairs if delimiter]


def prepare(
    sql: str,
    parameters: Mapping[str, str],
    policy: PathPolicy,
    parse: Callable[[str], Tree],
    *,
    time_zone: str = DEFAULT_TIME_ZONE,
    limits: QueryLimits = DEFAULT_QUERY_LIMITS,
    segment_column: str | None = None,
) -> CheckedQuery:
    """Check a query and replace its file names by real files. Raises ``SourceError``."""
    # The whole text first: what is cut off cannot be another statement.
    statements = parse(sql)["statements"]
    if len(statements) != 1:
        raise several_statements() if statements else not_a_select()
    text = trim_statement(sql)
    [statement] = parse(text)["statements"]
    rewrite = _Rewrite()
    nodes = list(walk_tree(statement["node"]))
    for node in nodes:
        rewrite.common_tables.update(entry["key"].lower() for entry in _common_tables(node))
    encoded = text.encode()
    for node in nodes:
        _check(node, encoded, policy, rewrite)
    for start, end, replacement in sorted(rewrite.replacements, reverse=True):
        encoded = encoded[:start] + replacement.encode() + encoded[end:]
    return CheckedQuery(
        sql=encoded.decode(),
        parameters=parameters,
        files=tuple(dict.fromkeys(rewrite.files)),
        headers=tuple(dict.fromkeys(rewrite.headers)),
        lists=tuple(dict.fromkeys(rewrite.lists)),
        time_zone=time_zone,
        limits=limits,
        segment_column=segment_column,
        repeatable=is_repeatable(nodes),
        uncertain_types=frozenset(rewrite.uncertain_types),
    )


def walk_tree(tree: Any) -> Iterator[Tree]:
    """Yield every object of a parsed query, parents before children."""
    stack = [tree]
    while stack:
        part = stack.pop()
        if isinstance(part, Mapping):
            yield part
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)


def _common_tables(node: Tree) -> list[Tree]:
    map_ = node.get("cte_map")
    recursive = [{"key": node["cte_name"]}] if node.get("cte_name") else []
    return [*(map_["map"] if isinstance(map_, Mapping) else []), *recursive]


def _check(node: Tree, text: bytes, policy: PathPolicy, rewrite: _Rewrite) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _NODES:
        raise _forbidden(f"contains {kind.removesuffix('_QUERY_NODE').removesuffix('_NODE')}")
    is_table = "sample" in node and "alias" in node and "class" not in node
    if is_table and kind not in _TABLES:
        raise _forbidden(f"reads from {kind.lower().replace('_', ' ')}")
    if kind == "BASE_TABLE":
        _resolve_table(node, text, policy, rewrite)
    elif kind == "TABLE_FUNCTION":
        _resolve_function(node["function"], policy, rewrite)
    elif kind == "FUNCTION":
        called = str(node.get("function_name", "")).lower()
        if called.startswith(_FORBIDDEN):
            raise _forbidden(f"calls {called}()")


def _resolve_table(node: Tree, text: bytes, policy: PathPolicy, rewrite: _Rewrite) -> None:
    """Replace a table that is a file name by a function that reads the real files."""
    table = str(node["table_name"])
    if table.lower() in rewrite.common_tables and not node.get("schema_name"):
        return
    path = ".".join(node.get("qualified_name", {}).get("path", [table]))
    start = int(node["query_location"])
    if _format_of(path) is None and text[start : start + 1] != b"'":
        raise _no_table(path)
    end = _end_of_name(text, start)
    names = policy.find(path)
    files = [policy.locate(name) for name in names]
    format_ = _only_format(path, names)
    rewrite.files.extend(files)
    if format_ == "txt":
        rewrite.lists.extend(files)
        rewrite.replacements.append((start, end, txt_table(files)))
        return
    options = _csv_options(names, frozenset()) if format_ == "csv" else ""
    options += _partition_options(names)
    if format_ == "csv":
        rewrite.add_headers(names, files, frozenset())
    rewrite.add_uncertain_types(format_, frozenset())
    rewrite.replacements.append(
        (start, end, f"{_READER_OF[format_]}({file_names(files)}{options})")
    )


def _format_of(name: str) -> str | None:
    """Return the format that a file's name shows, or None."""
    suffixes = reversed(PurePosixPath(name.lower()).suffixes)
    return next((_FORMATS[suffix] for suffix in suffixes if suffix in _FORMATS), None)


def _only_format(path: str, names: Sequence[str]) -> str:
    """Return the format of all files that a path means, according to their names."""
    formats = {n: "tsv" if _delimiter(n) == "\t" else _format_of(n) for n in names}
    for name, format_ in formats.items():
        if format_ is None:
            raise SourceError(
                "unknown-format",
                f"the format of {name} cannot be inferred from its name",
                SAVE_AS_CSV
                if is_spreadsheet(name)
                else "A query reads files that end in .csv, .tsv, .parquet, .json, .jsonl, "
                ".ndjson or .txt, which .gz or .zst may follow. Else use a function: "
                f"read_csv('{path}').",
            )
        if format_ != formats[names[0]]:
            raise SourceError(
                "mixed-formats",
                f"{path} contains several formats: {names[0]} is {formats[names[0]]}, {name} is "
                f"{format_}",
                "Read the files of one format, with a pattern such as 'FOLDER/*.csv'.",
            )
    if formats[names[0]] == "parquet":
        check_not_compressed(names)
    return str(_format_of(names[0]))


def _no_table(path: str) -> SourceError:
    return SourceError(
        "query-table",
        f'the query reads a table "{path}", which does not exist',
        "A query reads files. Write the name of a file or a folder in single quotes, such as "
        "'members/gold.parquet'.",
    )


def _end_of_name(text: bytes, start: int) -> int:
    """Return the position after a quoted name. A doubled quote is part of the name."""
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


def _resolve_function(function: Tree, policy: PathPolicy, rewrite: _Rewrite) -> None:
    """Replace the first argument of a reading function by the real files."""
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
    names = [name for path in _file_names(first, called) for name in policy.find(path)]
    files = [policy.locate(name) for name in names]
    given_options = {_option_name(argument) for argument in arguments[1:]}
    options = _csv_options(names, given_options) if _READERS[called] == "csv" else ""
    if _READERS[called] == "csv":
        rewrite.add_headers(names, files, given_options)
    rewrite.add_uncertain_types(_READERS[called], given_options)
    options += "" if given_options & _HIVE_OPTIONS else _partition_options(names)
    rewrite.files.extend(files)
    rewrite.replacements.append((start, end, file_names(files) + options))


def _csv_options(names: Sequence[str], given_options: AbstractSet[str]) -> str:
    """Return the CSV options that a query does not give, so that DuckDB guesses none.

    For a file that was truncated or has one bad row, DuckDB would find another dialect that
    fits: without quotes, with a single column, or with all rows but the last skipped.
    """
    options = {} if given_options & _TYPE_OPTIONS else {"all_varchar": "true"}
    options |= {name: value for name, value in _DIALECT.items() if name not in given_options}
    delimiters = {_delimiter(name) for name in names}
    if len(delimiters) == 1 and "" not in delimiters and not given_options & _DELIMITER_OPTIONS:
        options["delim"] = f"'{delimiters.pop()}'"
    if "quote" in given_options:
        options.pop("escape", None)
    return "".join(f", {name} = {value}" for name, value in options.items())


def _delimiter(name: str) -> str:
    """Return the delimiter that a file's name implies, or an empty string."""
    suffixes = PurePosixPath(name.lower()).suffixes
    return next((mark for suffix, mark in _DELIMITERS.items() if suffix in suffixes), "")


def _partition_options(names: Sequence[str]) -> str:
    """Return the options that add partition columns as text, if all files have the same ones."""
    columns = {tuple(partition_values(name)) for name in names}
    if len(columns) == 1 and columns != {()}:
        return ", hive_partitioning = true, hive_types_autocast = false"
    return ", hive_partitioning = false"


def _option_name(argument: Tree) -> str:
    """Return the name of a named argument, written ``a := 1`` or ``a = 1``."""
    if argument.get("name"):
        return str(argument["name"]).lower()
    left = argument["expression"].get("left", {})
    return str((left.get("column_names") or [""])[0]).lower()


def _file_names(argument: Tree, called: str) -> list[str]:
    """Return the file names in an argument: one string, or a list of strings."""
    if argument.get("type") == "VALUE_CONSTANT":
        literal = argument.get("literal", {})
        if literal.get("kind") == "STRING":
            return [str(literal["text"])]
    elements = argument.get("arguments") or argument.get("children")
    if argument.get("function_name") in ("list_value", "array") and elements:
        return [
            text
            for element in elements
            for text in _file_names(element.get("expression", element), called)
        ]
    raise SourceError(
        "query-forbidden",
        f"the query computes the file name of {called}()",
        "Write file names as strings in single quotes, so that segctl can check them.",
    )


def _forbidden(what: str) -> SourceError:
    return SourceError(
        "query-forbidden",
        f"the query {what}, which is not allowed",
        "A query can only read files of the workspace with SELECT.",
    )
