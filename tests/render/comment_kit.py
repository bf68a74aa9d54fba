"""Read a comment as a forge does: which parts of it are code, and whether every part is whole."""

import re
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser

_FENCE = re.compile(r"(`{3,})([a-z]*)")
_REFERENCE = re.compile(
    r"[@#!%~&$](?=\w)|://|www\.|\b(?:GH|GL)-\d|\[issue:|:[a-z]+:|[\[{][+-]", re.IGNORECASE
)
"""What GitHub or GitLab take for a mention, a reference, a link, an emoji or markup."""

_NODE = "\u200b"
"""What stands between two nodes of a page: nothing is read across them."""

TAGS = {"code", "details", "summary", "sub"}


@dataclass
class Comment:
    """The lines of a comment outside of code blocks, and the code blocks by language."""

    lines: list[str] = field(default_factory=list)
    blocks: list[tuple[str, list[str]]] = field(default_factory=list)


def read_comment(page: str) -> Comment:
    """Return the parts of a comment. Fails if a code block is not closed."""
    comment, fence = Comment(), ""
    for line in page.split("\n"):
        if fence:
            if line == fence:
                fence = ""
            else:
                comment.blocks[-1][1].append(line)
        elif found := _FENCE.fullmatch(line):
            fence = found[1]
            comment.blocks.append((found[2], []))
        else:
            comment.lines.append(line)
    assert not fence
    return comment


class _Tags(HTMLParser):
    """The tags of a text and the text between them, and whether the tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert not attrs
        self.open.append(tag)
        self.text += _NODE

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += _NODE

    def handle_data(self, data: str) -> None:
        self.text += data


def check_whole(page: str, *, marker: str) -> Comment:
    """Check that no fold, code block, table row or box is cut, and return the comment's parts."""
    comment = read_comment(page)
    lines = comment.lines
    assert lines[0].startswith("### ")
    assert lines[-2:] == [marker, ""]
    tags = _Tags()
    tags.feed("\n".join(lines[:-2]))
    tags.close()
    assert tags.open == []
    for line in lines:
        if line.startswith("|"):
            assert line.count("|") == 8
            assert line.endswith("|")
    for language, block in comment.blocks:
        assert language in {"diff", "mermaid", ""}
        if language == "mermaid":
            check_diagram(block)
    return comment


def check_inert(page: str, *, marker: str, values: list[str]) -> None:
    """Check that what the plan holds is text, and neither markup nor a word to forge or runner."""
    comment = read_comment(page.removesuffix(f"{marker}\n"))
    # Forges look for references in the text of a page, after entities are decoded.
    tags = _Tags()
    tags.feed("\n".join(comment.lines))
    shown = unescape(re.sub(r"\n> \[![A-Z]+\]\n", "\n", "\n" + tags.text))
    assert [found[0] for found in _REFERENCE.finditer(shown)] == []
    assert all(c.isprintable() or c in "\n\u200b" for c in shown)
    for line in page.split("\n"):
        assert not re.search(r"^\s*::|##\[|##vso\[", line)
    assert page.count("<!--") == marker.count("<!--")
    for line in comment.lines:
        assert not re.match(r" {4}|\s*(/|#{1,6} (?!\w)|=+\s*$|-{3,})", line) or line[:4] == "### "
        for value in values:
            assert value not in line


def check_diagram(block: list[str]) -> None:
    """Check that a diagram is nothing but nodes, arrows and line widths."""
    label = r'"(?:[^\W_]|[ ]|\#\d+;)*"'
    node = rf"s\d+(?:\[{label}\])?"
    assert block[0] == "flowchart LR"
    for line in block[1:]:
        assert re.fullmatch(
            rf"  (?:{node} -->\|\"[\d,]+\"\| {node}|other\(\[{label}\]\)"
            r"|linkStyle \d+(?:,\d+)* stroke-width:\dpx)",
            line,
        )
    assert len("\n".join(block)) <= 2_000
