"""Find and replace the ``$NAME`` parameters of a query, and the semicolons around it.

Quoted text, quoted names, dollar-quoted text and comments, which may be nested, have none.
"""

import re
from collections.abc import Callable, Iterable, Iterator

_TOKEN = re.compile(
    r"""
    (?P<quoted>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*') | "(?:[^"]|"")*"
    | --[^\n]*
    | (?P<comment>/\*)
    | \$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$
    | [^\W\d][\w$]*
    | \$(?P<name>\w+)
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_QUOTES = re.compile(r"\$\{?([A-Za-z_]\w*)")
_AROUND = " \t\r\n\v\f\ufeff;"
_COMMENT_MARK = re.compile(r"/\*|\*/")


def find_parameters(sql: str) -> tuple[str, ...]:
    """Return the names of the parameters in a query, in order and without repeats."""
    return tuple(locate_parameters(sql))


def locate_parameters(sql: str) -> dict[str, int]:
    """Return the names of the parameters in a query, in order, with the index of the first use."""
    found: dict[str, int] = {}
    for match in _parameters(sql):
        found.setdefault(match["name"], match.start())
    return found


def locate_quoted_parameters(sql: str) -> dict[str, int]:
    """Return the names that follow a ``$`` within single quotes, where they are plain text.

    With the index of the first.
    """
    found: dict[str, int] = {}
    for token in _tokens(sql):
        if token["quoted"]:
            for match in _IN_QUOTES.finditer(token["quoted"]):
                found.setdefault(match[1], token.start() + match.start())
    return found


def replace_parameters(sql: str, replacement: Callable[[str], str]) -> str:
    """Return a query with each parameter replaced by ``replacement(name)``."""
    parts, end = [], 0
    for match in _parameters(sql):
        parts += [sql[end : match.start()], replacement(match["name"])]
        end = match.end()
    return "".join([*parts, sql[end:]])


def trim_statement(sql: str, comments: Iterable[tuple[int, int]] | None = None) -> str:
    """Return a query without the semicolons before and after it, and what follows the last.

    What remains is where it was, so that the places in messages are right. ``comments`` are the
    start and the end of each comment; without them, they are those of PostgreSQL and DuckDB.
    """
    code = list(sql)
    for start, end in _comments(sql) if comments is None else comments:
        code[start:end] = " " * (end - start)
    body = "".join(code)
    end = len(body.rstrip(_AROUND))
    start = min(len(body) - len(body.lstrip(_AROUND)), end)
    return body[:start].replace(";", " ") + sql[start:end]


def _comments(sql: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each comment."""
    position = 0
    while match := _TOKEN.search(sql, position):
        position = match.end()
        if match["comment"]:
            position = _end_of_comment(sql, position)
        if match["comment"] or match[0].startswith("--"):
            yield match.start(), position


def _parameters(sql: str) -> Iterator[re.Match[str]]:
    return (match for match in _tokens(sql) if match["name"])


def _tokens(sql: str) -> Iterator[re.Match[str]]:
    """Yield quoted texts, names and parameters; comments are skipped."""
    position = 0
    while match := _TOKEN.search(sql, position):
        position = match.end()
        if match["comment"]:
            position = _end_of_comment(sql, position)
        else:
            yield match


def _end_of_comment(sql: str, position: int) -> int:
    depth = 1
    while depth and (match := _COMMENT_MARK.search(sql, position)):
        depth += 1 if match[0] == "/*" else -1
        position = match.end()
    return position if not depth else len(sql)
