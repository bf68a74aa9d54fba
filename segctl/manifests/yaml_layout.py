"""Where the parts of a YAML document stand in its text; the formatter moves them as text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    StreamEndEvent,
)

from segctl.manifests.yaml_reader import LOADER


@dataclass(kw_only=True)
class Part:
    """A value in the text, from its first to its last line (from 0, both included).

    ``entries`` are what a block collection holds; a leaf (a scalar, an alias, a
    collection in brackets) has none and is never looked into.
    """

    line: int
    column: int
    last: int
    is_map: bool = False
    entries: list["Entry"] = field(default_factory=list)


@dataclass(kw_only=True)
class Entry:
    """A key with its value, or a list item; ``line`` is that of the key or of the dash."""

    line: int
    key: str
    value: Part


@dataclass(kw_only=True)
class Region:
    """The lines of one document without its markers, ``end`` excluded."""

    start: int
    end: int
    root: Part


class Unusual(Exception):
    """The notation is legal and rare; the document is better left as it is."""


def regions(lines: list[str]) -> Iterator[Region]:
    """Give the documents of a text that parses; raises ``Unusual``."""
    loader = LOADER("\n".join(lines))
    try:
        begin = 0
        event = loader.get_event()
        while not isinstance(event, StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                begin = _start(event)[0] + 1 if event.explicit else begin
                root = _Reader(loader, lines).part(loader.get_event())
            elif isinstance(event, DocumentEndEvent):
                end = _next_marker(lines, root.last + 1)
                yield Region(start=begin, end=end, root=root)
                begin = end + 1 if event.explicit else end
            event = loader.get_event()
    finally:
        loader.dispose()


def _next_marker(lines: list[str], line: int) -> int:
    while line < len(lines) and not lines[line].startswith(("---", "...", "%")):
        line += 1
    return line


def _start(event: Event) -> tuple[int, int]:
    """Give line and column from 0; every event of a parser has them."""
    mark: Any = event.start_mark
    return mark.line, mark.column


def _end(event: Event) -> tuple[int, int]:
    mark: Any = event.end_mark
    return mark.line, mark.column


class _Reader:
    def __init__(self, loader: Any, lines: list[str]) -> None:
        self._loader = loader
        self._lines = lines

    def part(self, event: Event, above: int | None = None) -> Part:
        """Read a value; its key or dash, if it has one, stands on line ``above``."""
        line, column = _start(event)
        if not isinstance(event, CollectionStartEvent):
            return Part(line=line, column=column, last=self._last(event))
        if event.flow_style:
            return Part(line=line, column=column, last=self._skip())
        if event.anchor and above is not None and line > above:
            raise Unusual
        return self._map() if isinstance(event, MappingStartEvent) else self._list(line, column)

    def _last(self, event: Event) -> int:
        """Find the last line of a leaf; empty lines after a block scalar are no part of it."""
        first, (line, column) = _start(event)[0], _end(event)
        last = line - 1 if column == 0 and line > first else line
        if isinstance(event, ScalarEvent) and event.style in ("|", ">"):
            kept = "+" in self._lines[first].split("#")[0]
            while not kept and last > first and not self._lines[last]:
                last -= 1
        return last

    def _skip(self) -> int:
        depth = 1
        while depth:
            event = self._loader.get_event()
            depth += isinstance(event, CollectionStartEvent)
            depth -= isinstance(event, CollectionEndEvent)
        return _end(event)[0]

    def _map(self) -> Part:
        part = Part(line=-1, column=-1, last=-1, is_map=True)
        while not isinstance(event := self._loader.get_event(), CollectionEndEvent):
            if not isinstance(event, ScalarEvent):
                raise Unusual
            (line, column), (end_line, end_column) = _start(event), _end(event)
            if not part.entries:
                part.line, part.column = line, column
            if column != part.column or end_line != line:
                raise Unusual
            value = self.part(self._loader.get_event(), line)
            key = self._lines[line][column:end_column]
            part.entries.append(Entry(line=line, key=key, value=value))
            part.last = max(line, value.last)
        return part

    def _list(self, line: int, column: int) -> Part:
        if self._lines[line][column : column + 1] != "-":
            line, column = self._first_dash(line + 1)
        part = Part(line=line, column=column, last=line - 1)
        dash = line
        while not isinstance(event := self._loader.get_event(), CollectionEndEvent):
            if part.entries:
                dash = self._dash(part.last + 1, column)
            value = self.part(event, dash)
            part.entries.append(Entry(line=dash, key="", value=value))
            part.last = max(dash, value.last)
        return part

    def _first_dash(self, line: int) -> tuple[int, int]:
        while not (text := self._lines[line].lstrip(" ")).startswith("-"):
            line += 1
        return line, len(self._lines[line]) - len(text)

    def _dash(self, line: int, column: int) -> int:
        while not self._lines[line].startswith(" " * column + "-"):
            line += 1
        return line
