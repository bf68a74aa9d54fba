"""Text of a plan as Markdown that GitHub, GitLab and Bitbucket show as it is.

Names and values come from files that anybody may have written. None of them becomes markup, a
link, a reference, a mention that notifies people, a quick action, or a command to a CI runner.
"""

import re
from collections.abc import Iterable

from segctl.core.runner_marks import RUNNER_MARK
from segctl.render.style import escaped

MAX_VALUE_BYTES = 600
"""The most bytes that one value takes, escaped."""

_SPECIAL = re.compile(
    r"""
    (?P<apart> [@\#!%~$&^] (?=[\w"'\[]) | \* (?=iteration:) | : (?=//) | [{\[] (?=[+-]) | \[ (?=\w)
             | : (?=(?:100|1234|[\w+-]*[a-z_+-][\w+-]*):)
             | (?<=\b[Ww]{3}) \. | (?<=\b[Gg][HhLl]) - (?=\d) )
  | (?P<plain> [&<>|`*\[\]\\~^$] | (?<![A-Za-z0-9]) _ | _ (?![A-Za-z0-9]) )
    """,
    re.VERBOSE,
)
"""What Markdown or a forge may read as something else than text.

``apart`` is what begins a reference, a link or an emoji: ``@team``, ``#1``, ``!1``, ``~label``,
``*iteration:1``, ``://``, ``{+``, ``[issue:1]``, ``:tada:``, ``www.``, ``GH-1``. Forges look for
these after they decode entities, so a zero-width space separates them from what follows."""

_ZERO_WIDTH_SPACE = "&#8203;"
_LINE_START = re.compile(r"[^\w\s&]|\d+(?=[.)])")
"""What makes a list, a heading, a quote or a quick action of a line, at its beginning."""

_COMMENT_MARK = "<!--"


def escape(value: str, *, max_bytes: int = MAX_VALUE_BYTES) -> str:
    """Return ``value`` on one line, escaped for Markdown, and shortened to ``max_bytes``."""
    text = _escape(value[:max_bytes])
    if len(value) <= max_bytes and size(text) <= max_bytes:
        return text
    kept = value[:max_bytes]
    while size(text := _escape(kept) + "…") > max_bytes:
        kept = kept[: len(kept) * 3 // 4]
    return text


def escape_line(value: str, *, max_bytes: int = MAX_VALUE_BYTES) -> str:
    """Return ``value`` escaped, also for the beginning of a line."""
    text = escape(value.strip(), max_bytes=max_bytes)
    if not (found := _LINE_START.match(text)):
        return text
    return "".join(f"&#{ord(c)};" for c in found[0]) + text[found.end() :]


def code(value: str, *, max_bytes: int = MAX_VALUE_BYTES) -> str:
    """Return ``value`` escaped, in a fixed-width font."""
    return f"<code>{escape(value, max_bytes=max_bytes)}</code>"


def fold(title: str, body: str) -> str:
    """Return a section that opens on a click, from an escaped title and Markdown."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def code_block(lines: Iterable[str], language: str) -> str:
    """Return a code block whose lines cannot end it.

    What a runner or the search for the marker of a comment looks for is broken up.
    """
    body = RUNNER_MARK.sub("# #", "\n".join(lines).replace(_COMMENT_MARK, "\\x3c!--"))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", body)), default=0))
    return f"{fence}{language}\n{body}\n{fence}"


def quote(lines: Iterable[str], kind: str) -> str:
    """Return an alert of a kind such as ``CAUTION``. It is a quotation where forges know none."""
    return "\n".join(f"> {line}" if line else ">" for line in (f"[!{kind}]", *lines))


def size(text: str) -> int:
    """Return the length of a text in UTF-8 bytes."""
    return len(text.encode())


def _escape(value: str) -> str:
    return _SPECIAL.sub(_entity, escaped(value))


def _entity(match: re.Match[str]) -> str:
    gap = _ZERO_WIDTH_SPACE if match["apart"] else ""
    # The dot of "www." and the dash of "GH-1" must be apart from what comes before them, too.
    before = gap if match[0] in ".-" else ""
    return f"{before}&#{ord(match[0])};{gap}"
