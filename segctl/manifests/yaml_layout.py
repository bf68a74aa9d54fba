"""Find the lines that each part of a YAML document occupies, for the formatter to move."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)

from segctl.manifests.yaml_reader import LOADER


@dataclass(kw_only=True)
class Node:
    """A value in the text. ``line`` to ``last_line`` are its lines, counted from 0.

    ``children`` are the parts of a collection in block notation. Other values are leaves and
    have none: scalars, aliases and collections in brackets or braces.
    """

    line: int
    column: int
    last_line: int
    is_map: bool = False
    children: list["Child"] = field(default_factory=list)


@dataclass(kw_only=True)
class Child:
    """A key and its value, or a list item with an empty key.

    ``line`` is the line of the key or of the item's dash.
    """

    line: int
    key: str
    value: Node


@dataclass(kw_only=True)
class DocumentLayout:
    """The lines ``start`` to ``end`` of a document, without ``end`` and without its markers."""

    start: int
    end: int
    root: Node


class UnsupportedNotation(Exception):
    """The document uses legal but rare notation, which the formatter does not move."""


def document_layouts(lines: list[str]) -> Iterator[DocumentLayout]:
    """Yield the layout of each document of a text that is known to parse.

    Raises ``UnsupportedNotation``.
    """
    events = yaml.parse("\n".join(lines), LOADER)
    start = 0
    for event in events:
        if isinstance(event, DocumentStartEvent):
            start = _start(event)[0] + 1 if event.explicit else start
            root = _LayoutReader(events, lines).read(next(events))
        elif isinstance(event, DocumentEndEvent):
            end = _next_marker(lines, root.last_line + 1)
            yield DocumentLayout(start=start, end=end, root=root)
            start = end + 1 if event.explicit else end


def _next_marker(lines: list[str], line: int) -> int:
    while line < len(lines) and not lines[line].startswith(("---", "...", "%")):
        line += 1
    return line


def _start(event: Event) -> tuple[int, int]:
    mark: Any = event.start_mark  # set in every event of a parser
    return mark.line, mark.column


def _end(event: Event) -> tuple[int, int]:
    mark: Any = event.end_mark
    return mark.line, mark.column


class _LayoutReader:
    """Reads the layout of one document from its events."""

    def __init__(self, events: Iterator[Event], lines: list[str]) -> None:
        self._events = events
        self._lines = lines

    def read(self, event: Event, parent_line: int | None = None) -> Node:
        """Read a value. ``parent_line`` is the line of its key or dash, if it has one."""
        line, column = _start(event)
        if not isinstance(event, CollectionStartEvent):
            return Node(line=line, column=column, last_line=self._last_line(event))
        if event.flow_style:
            return Node(line=line, column=column, last_line=self._skip_collection())
        if event.anchor and parent_line is not None and line > parent_line:
            raise UnsupportedNotation
        if isinstance(event, MappingStartEvent):
            return self._read_map()
        return self._read_list(line, column)

    def _last_line(self, event: Event) -> int:
        """Return the last line of a leaf, without the empty lines after a block scalar."""
        first, (line, column) = _start(event)[0], _end(event)
        last = line - 1 if column == 0 and line > first else line
        if isinstance(event, ScalarEvent) and event.style in ("|", ">"):
            keeps_empty_lines = "+" in self._lines[first].split("#")[0]
            while not keeps_empty_lines and last > first and not self._lines[last]:
                last -= 1
        return last

    def _skip_collection(self) -> int:
        """Skip to the end of a collection and return the line of its end."""
        depth = 1
        while depth:
            event = next(self._events)
            depth += isinstance(event, CollectionStartEvent)
            depth -= isinstance(event, CollectionEndEvent)
        return _end(event)[0]

    def _read_map(self) -> Node:
        node = Node(line=-1, column=-1, last_line=-1, is_map=True)
        while not isinstance(event := next(self._events), CollectionEndEvent):
            if not isinstance(event, ScalarEvent):
                raise UnsupportedNotation
            (line, column), (end_line, end_column) = _start(event), _end(event)
            if not node.children:
                node.line, node.column = line, column
            if column != node.column or end_line != line:
                raise UnsupportedNotation
            value = self.read(next(self._events), line)
            key = self._lines[line][column:end_column]
            node.children.append(Child(line=line, key=key, value=value))
            node.last_line = max(line, value.last_line)
        return node

    def _read_list(self, line: int, column: int) -> Node:
        if self._lines[line][column : column + 1] != "-":
            line, column = self._first_dash(line + 1)
        node = Node(line=line, column=column, last_line=line - 1)
        dash = line
        while not isinstance(event := next(self._events), CollectionEndEvent):
            if node.children:
                dash = self._next_dash(node.last_line + 1, column)
            value = self.read(event, dash)
            node.children.append(Child(line=dash, key="", value=value))
            node.last_line = max(dash, value.last_line)
        return node

    def _first_dash(self, line: int) -> tuple[int, int]:
        while not (text := self._lines[line].lstrip(" ")).startswith("-"):
            line += 1
        return line, len(self._lines[line]) - len(text)

    def _next_dash(self, line: int, column: int) -> int:
        while not self._lines[line].startswith(" " * column + "-"):
            line += 1
        return line
