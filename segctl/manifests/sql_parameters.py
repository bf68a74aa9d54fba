"""Find and replace the ``$NAME`` parameters of a query.

Quoted text, quoted names, dollar-quoted text and comments, which may be nested, have none.
"""

import re
from collections.abc import Callable, Iterator

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
_COMMENT_MARK = re.compile(r"/\*|\*/")


def find_parameters(sql: str) -> tuple[str, ...]:
    """Return the names of the parameters in a query, in order and without repeats."""
    return tuple(dict.fromkeys(match["name"] for match in _parameters(sql)))


def find_quoted_parameters(sql: str) -> tuple[str, ...]:
    """Return the names that follow a ``$`` within single quotes, where they are plain text."""
    names: list[str] = []
    for match in _tokens(sql):
        if match["quoted"]:
            names += _IN_QUOTES.findall(match["quoted"])
    return tuple(dict.fromkeys(names))


def replace_parameters(sql: str, replacement: Callable[[str], str]) -> str:
    """Return a query with each parameter replaced by ``replacement(name)``."""
    parts, end = [], 0
    for match in _parameters(sql):
        parts += [sql[end : match.start()], replacement(match["name"])]
        end = match.end()
    return "".join([*parts, sql[end:]])


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
