"""Rewrite manifests in canonical form by moving their lines.

Keys come in the order of the models. Indentation is two spaces, lists are indented below their
key, and blank lines are single. Scalars, collections in brackets or braces, and the order of list
items stay exactly as written. If moving the lines would change a value, the file stays as it is.
"""

import re
from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.classify import classify_documents
from segctl.manifests.documents import KINDS
from segctl.manifests.explain import known_fields
from segctl.manifests.yaml_layout import (
    Child,
    DocumentLayout,
    Node,
    UnsupportedNotation,
    document_layouts,
)
from segctl.manifests.yaml_reader import decode_text, parse_file
from segctl.manifests.yaml_tree import Document, Path, lookup

_INDENT = "  "
_COMMENTED_ITEM = re.compile(r" *#\s*-(\s|$)")
_FURTHER_LINE = re.compile(r" *#\s\s+\S")
"""A further line of a commented item: the text is indented within the comment."""


@dataclass(frozen=True, kw_only=True)
class FormatResult:
    """The canonical text of a file, or ``None`` if the file has errors."""

    text: str | None
    diagnostics: tuple[Diagnostic, ...] = ()


def format_file(file: str, content: bytes) -> FormatResult:
    """Format the manifests of a file and leave its other documents as they are.

    Formatting the result again changes nothing.
    """
    before = parse_file(file, content)
    classified = classify_documents(before.documents)
    diagnostics = [*before.diagnostics, *classified.diagnostics]
    if any(d.severity is Severity.ERROR for d in diagnostics):
        return FormatResult(text=None, diagnostics=tuple(diagnostics))
    if not classified.manifests:
        return FormatResult(text=content.decode())  # with its byte order mark and line ends
    old = decode_text(file, content)
    try:
        new = _format_text(old, classified.manifests)
    except UnsupportedNotation:
        return _unchanged(file, old)
    after = parse_file(file, new.encode())
    same_values = [d.data for d in after.documents] == [d.data for d in before.documents]
    # Moving lines neither adds nor loses a character, except white space.
    same_characters = Counter("".join(new.split())) == Counter("".join(old.split()))
    return FormatResult(text=new) if same_values and same_characters else _unchanged(file, old)


def _unchanged(file: str, text: str) -> FormatResult:
    diagnostic = Diagnostic(
        code="not-formatted",
        summary="fmt cannot format the notation of this file and leaves it as it is.",
        detail="The usual reasons are anchors on lines of their own and explicit keys (?).",
        location=Location(file=file),
        severity=Severity.WARNING,
    )
    return FormatResult(text=text, diagnostics=(diagnostic,))


def _format_text(text: str, manifests: Sequence[Document]) -> str:
    lines = text.split("\n")
    kinds = {d.start[0] - 1: str(lookup(d.data, "kind")) for d in manifests}
    formatted: list[str] = []
    end = 0
    for layout in document_layouts(lines):
        formatted += (line.rstrip() for line in lines[end : layout.start])
        kind = kinds.get(layout.root.line)
        if kind:
            formatted += _format_document(lines, layout, KINDS[kind])
        else:
            formatted += lines[layout.start : layout.end]
        end = layout.end
    formatted += (line.rstrip() for line in lines[end:])
    return "\n".join(formatted).strip("\n") + "\n"


def _format_document(lines: list[str], layout: DocumentLayout, model: type[BaseModel]) -> list[str]:
    root = layout.root
    if not root.is_map or root.line < layout.start:
        return lines[layout.start : layout.end]
    head = _tidy(lines[layout.start : root.line])
    while head and not head[0]:
        del head[0]
    formatter = _DocumentFormatter(lines, model)
    return [*head, *formatter.format_collection(root, root.line, layout.end, ())]


def _tidy(lines: Sequence[str], indent: str = "") -> list[str]:
    """Indent comments and reduce consecutive blank lines to one."""
    tidy: list[str] = []
    for line in lines:
        text = line.strip()
        if text or (tidy and tidy[-1]) or not tidy:
            tidy.append(indent + text if text else "")
    return tidy


class _DocumentFormatter:
    """Formats the nodes of a document. The lines of a node come back without its indentation."""

    def __init__(self, lines: list[str], model: type[BaseModel]) -> None:
        self._lines = lines
        self._model = model

    def format_collection(self, node: Node, start: int, end: int, path: Path) -> list[str]:
        """Format a collection in block notation.

        It has the lines from ``start`` to before ``end``, with the comments around its children.
        """
        format_child = self._format_pair if node.is_map else self._format_item
        chunks: list[tuple[str, list[str]]] = []
        for i, child in enumerate(node.children):
            limit = node.children[i + 1].line if i + 1 < len(node.children) else end
            end_of_value = self._skip_commented_items(node, child.value, limit)
            stop = self._first_leading_line(node.column, end_of_value, limit)
            comments = _tidy(self._lines[start : child.line])
            body = format_child(node, child, stop, path)
            chunks.append((_unquoted(child.key), [*comments, *body]))
            start = stop
        if node.is_map:
            order = {name: i for i, name in enumerate(known_fields(self._model, path))}
            chunks.sort(key=lambda chunk: order.get(chunk[0], len(order)))
        lines = [line for _, chunk in chunks for line in chunk]
        lines += _tidy(self._lines[start:end])
        return lines[1:] if not lines[0] else lines

    def _skip_commented_items(self, node: Node, value: Node, end: int) -> int:
        """Return the line after a value and the items below it that are comments.

        In a list that is as deep as its key, such a comment is as deep as one of the next key.
        """
        after = value.last_line + 1
        if not node.is_map or not value.children or value.is_map or value.column != node.column:
            return after
        is_item = False
        for line in range(after, end):
            text = self._lines[line]
            is_comment = text.startswith(" " * node.column + "#")
            is_item = is_comment and bool(
                _COMMENTED_ITEM.match(text) or (is_item and _FURTHER_LINE.match(text))
            )
            after = line + 1 if is_item else after
        return after

    def _first_leading_line(self, column: int, start: int, end: int) -> int:
        """Return the line where the comments of the next child begin.

        Comments that are indented deeper than ``column`` belong to the child before them.
        """
        first = end
        for line in range(end - 1, start - 1, -1):
            text = self._lines[line]
            if text.strip() and len(text) - len(text.lstrip()) > column:
                break
            first = line
        return first

    def _format_pair(self, node: Node, child: Child, stop: int, path: Path) -> list[str]:
        value = child.value
        after_key = self._lines[child.line][node.column + len(child.key) :].lstrip()
        starts_below = value.line > child.line and not value.children
        if not after_key.startswith(":") or starts_below:
            raise UnsupportedNotation
        text = after_key[1:].strip()
        after_colon = after_key[1:].rstrip() if text.startswith("#") else f" {text}"
        head = f"{child.key}:{after_colon}" if text else f"{child.key}:"
        if value.children:
            path = (*path, _unquoted(child.key))
            return [head, *_indented(self.format_collection(value, child.line + 1, stop, path))]
        return [head, *self._format_rest(value, node.column, stop)]

    def _format_item(self, node: Node, child: Child, stop: int, path: Path) -> list[str]:
        value, path = child.value, (*path, 0)
        text = self._lines[child.line][node.column + 1 :].strip()
        if not value.children:
            if value.line > child.line:
                raise UnsupportedNotation
            return [f"- {text}" if text else "-", *self._format_rest(value, node.column, stop)]
        if value.line == child.line:
            return _dashed(self.format_collection(value, child.line, stop, path))
        body = self.format_collection(value, child.line + 1, stop, path)
        if text and not text.startswith("#"):
            return [f"- {text}", *_indented(body)]
        return [*([text] if text else []), *_dashed(body)]

    def _format_rest(self, leaf: Node, column: int, stop: int) -> list[str]:
        """Return the further lines of a leaf, shifted left by ``column``, and its comments."""
        further = self._lines[leaf.line + 1 : leaf.last_line + 1]
        shifted = [line[min(column, len(line) - len(line.lstrip(" "))) :] for line in further]
        return [*shifted, *_tidy(self._lines[leaf.last_line + 1 : stop], _INDENT)]


def _unquoted(key: str) -> str:
    return key.strip("\"'")


def _indented(lines: Sequence[str]) -> list[str]:
    return [_INDENT + line if line else line for line in lines]


def _dashed(lines: Sequence[str]) -> list[str]:
    """Put a dash before the first line that is not a comment."""
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    return [*lines[:first], f"- {lines[first]}", *_indented(lines[first + 1 :])]
