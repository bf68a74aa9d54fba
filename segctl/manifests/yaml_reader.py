"""From the bytes of a YAML file to documents with places.

PyYAML's events are read, not its values: its constructors would turn the user id
``0012345`` into a number and ``NO`` into false.  Nothing here recurses, and what
aliases may multiply is counted, so that no file can hang or crash a run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    StreamEndEvent,
)

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.yaml_tree import Document, Map, Place, Seq, Unquoted, Value

MAX_BYTES = 64 << 20
MAX_DEPTH = 100
MAX_ALIASED = 1_000_000
"""How many values all aliases of a file may repeat together."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The source of events: libyaml, or PyYAML's own slower parser where it is absent."""

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_STRING = "tag:yaml.org,2002:str"
_PYTHON = "tag:yaml.org,2002:python/"
_UNPRINTABLE = re.compile(
    "[^\\t\\n\\r\\x20-\\x7e\\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""What YAML does not allow, and line ends that it knows and editors do not show."""


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The documents of a file, and what kept the rest of it from being read."""

    documents: tuple[Document, ...]
    diagnostics: tuple[Diagnostic, ...]


class _Unreadable(Exception):
    """The file cannot be read on; carries the diagnostic."""

    def __init__(self, code: str, summary: str, detail: str, location: Location) -> None:
        super().__init__(summary)
        self.diagnostic = Diagnostic(code=code, summary=summary, detail=detail, location=location)


def parse(file: str, content: bytes) -> Parsed:
    """Read the documents of a file; empty ones are left out.  Raises nothing."""
    documents: list[Document] = []
    try:
        text = decode(file, content)
        documents.extend(d for d in _Events(file, text).documents() if d.data is not None)
    except _Unreadable as stop:
        return Parsed(documents=tuple(documents), diagnostics=(stop.diagnostic,))
    return Parsed(documents=tuple(documents), diagnostics=())


def decode(file: str, content: bytes) -> str:
    """Give the text of a file with plain line ends; raises for what is not YAML's text at all."""
    here = Location(file=file)
    if len(content) > MAX_BYTES:
        raise _Unreadable(*too_large(len(content)), here)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        advice = "Save it as UTF-8."
        raise _Unreadable("not-utf8", "the file is in UTF-16, not in UTF-8.", advice, here)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        location = _location(file, content[: error.start].decode("utf-8-sig", "replace"))
        advice = "Save it as UTF-8."
        raise _Unreadable("not-utf8", "the file is not in UTF-8.", advice, location) from None
    if bad := _UNPRINTABLE.search(text):
        raise _Unreadable(
            "control-character",
            f"the character U+{ord(bad[0]):04X} stands here, which YAML does not allow.",
            "Remove it, or write it as an escape in double quotes.",
            _location(file, text[: bad.start()]),
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def too_large(size: int) -> tuple[str, str, str]:
    """Give code, summary and detail for a file beyond the limit."""
    return (
        "file-too-large",
        f"the file has {size >> 20:,} MB; a manifest may have {MAX_BYTES >> 20}.",
        "Put the members into a file source (csv, parquet, txt) instead.",
    )


def _location(file: str, before: str) -> Location:
    line = before.count("\n") + 1
    return Location(file=file, line=line, column=len(before) - before.rfind("\n"))


class _Open:
    """A collection that is being filled."""

    __slots__ = ("anchor", "count", "height", "key", "value")

    def __init__(self, value: Map | Seq, anchor: str | None, count: int) -> None:
        self.value = value
        self.anchor = anchor
        self.count = count
        self.height = 1
        self.key: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Anchored:
    """A value that aliases may repeat; ``weight`` is ``None`` while it is still open.

    ``weight`` counts the values in it, ``height`` the levels, what its own aliases
    repeat included.
    """

    value: Value
    weight: int | None = 1
    height: int = 0


class _Events:
    """The events of one file, and what its aliases have repeated so far."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.aliased = 0
        self._text = text
        self._loader = LOADER(text)

    def documents(self) -> Iterator[Document]:
        """Give the documents in order; raises ``_Unreadable`` where reading must end."""
        try:
            event = self.next()
            while not isinstance(event, StreamEndEvent):
                if isinstance(event, DocumentStartEvent):
                    yield _Builder(self).build()
                event = self.next()
        finally:
            self._loader.dispose()

    def next(self) -> Event:
        try:
            event: Event = self._loader.get_event()
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        return event

    def _syntax(self, error: yaml.MarkedYAMLError) -> _Unreadable:
        problem, begun = error.problem or "", error.context_mark
        unclosed = "end of stream" in problem
        mark: Any = begun if unclosed and begun else error.problem_mark
        lines = self._text.split("\n")
        line, column = mark.line, mark.column
        if line >= len(lines):  # libyaml counts a line more where the last one has no end
            line, column = len(lines) - 1, len(lines[-1])
        summary, detail = _in_words(problem, lines[line][column : column + 1])
        if "${" in lines[line][: column + 1] and "expected ','" in problem:
            detail = "Put a value that holds ${…} in quotes: its braces have a meaning here."
        if begun and begun.line < line:
            detail += f" It began on line {begun.line + 1}."
        location = Location(file=self.file, line=line + 1, column=column + 1)
        return _Unreadable("syntax", summary, detail, location)


class _Builder:
    """Builds one document from its events."""

    def __init__(self, events: _Events) -> None:
        self._events = events
        self._file = events.file
        self._problems: list[Diagnostic] = []
        self._anchors: dict[str, _Anchored] = {}
        self._unused: dict[str, Place] = {}
        self._stack: list[_Open] = []
        self._count = 0
        self._root: Value = None

    def build(self) -> Document:
        event = self._events.next()
        start = _place(event)
        while not isinstance(event, DocumentEndEvent):
            event = self._take(event)
        for anchor, at in self._unused.items():
            self._problem(
                "unused-anchor",
                f"the anchor &{anchor} is never used.",
                'Put the value in quotes if it begins with "&".',
                at,
                severity=Severity.WARNING,
            )
        return Document(
            file=self._file, start=start, data=self._root, problems=tuple(self._problems)
        )

    def _take(self, event: Event) -> Event:
        """Take in one event, or a whole run of scalars; give the event after it."""
        self._count += 1
        at = _place(event)
        if isinstance(event, ScalarEvent):
            top = self._stack[-1] if self._stack else None
            if top and isinstance(top.value, Seq) and not (event.anchor or event.tag):
                return self._scalars(top.value, event)
            self._scalar(event, at)
        elif isinstance(event, CollectionStartEvent):
            self._open(event, at)
        elif isinstance(event, CollectionEndEvent):
            self._close()
        elif isinstance(event, AliasEvent):
            self._alias(event.anchor or "", at)
        return self._events.next()

    def _scalars(self, into: Seq, event: Event) -> Event:
        """Take a run of list items without ceremony: long member lists are the bulk of a file."""
        before = len(into)
        while isinstance(event, ScalarEvent) and event.anchor is None and event.tag is None:
            value: str | None = event.value
            at = _place(event)
            if event.implicit[0]:
                if value in _NULLS:
                    value = None
                elif " " in event.value and _lines(event) > 1:
                    self._run_on(at)
            into.put(value, at)
            event = self._events.next()
        self._count += len(into) - before
        return event

    def _run_on(self, at: Place) -> None:
        self._problem(
            "run-on-item",
            "this list item goes on over the next line.",
            "Begin the next item with a dash, or put a long value in quotes.",
            at,
        )

    def _scalar(self, event: ScalarEvent, at: Place) -> None:
        self._check_tag(event.tag, at)
        value: str | None = event.value
        if event.implicit[0]:
            is_key = bool(self._stack and self._is_key(self._stack[-1]))
            value = None if event.value in _NULLS and not is_key else Unquoted(event.value)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value=value)
            self._unused[event.anchor] = at
        self._put(value, at)

    def _open(self, event: CollectionStartEvent, at: Place) -> None:
        self._check_tag(event.tag, at)
        self._check_depth(1, at)
        value: Map | Seq = Map() if isinstance(event, MappingStartEvent) else Seq()
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value=value, weight=None)
        self._put(value, at)
        self._stack.append(_Open(value, event.anchor, self._count))

    def _check_depth(self, height: int, at: Place) -> None:
        if len(self._stack) + height > MAX_DEPTH:
            raise self._end(
                "too-deep",
                f"values are nested more than {MAX_DEPTH} levels deep here.",
                "A manifest needs fewer than ten.",
                at,
            )

    def _raise_to(self, height: int) -> None:
        if self._stack:
            self._stack[-1].height = max(self._stack[-1].height, height)

    def _close(self) -> None:
        done = self._stack.pop()
        self._raise_to(done.height + 1)
        if done.anchor and self._anchors[done.anchor].value is done.value:
            self._anchors[done.anchor] = _Anchored(
                value=done.value, weight=self._count - done.count, height=done.height
            )

    def _alias(self, anchor: str, at: Place) -> None:
        if anchor not in self._anchors:
            raise self._end(
                "unknown-alias",
                f"the alias *{anchor} has no anchor &{anchor} before it.",
                'Put the value in quotes if it begins with "*".',
                at,
            )
        anchored = self._anchors[anchor]
        if anchored.weight is None:
            raise self._end(
                "cyclic-alias",
                f"the alias *{anchor} stands inside of its own value.",
                "Remove it: the value would have no end.",
                at,
            )
        self._unused.pop(anchor, None)
        self._check_depth(anchored.height, at)
        self._raise_to(anchored.height + 1)
        self._events.aliased += anchored.weight
        self._count += anchored.weight
        if self._events.aliased > MAX_ALIASED:
            raise self._end(
                "alias-bomb",
                f"the aliases of this file repeat more than {MAX_ALIASED:,} values.",
                "Write long lists into a file source instead.",
                at,
            )
        self._put(anchored.value, at)

    @staticmethod
    def _is_key(top: _Open) -> bool:
        return isinstance(top.value, Map) and top.key is None

    def _put(self, value: Value, at: Place) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        if isinstance(top.value, Seq):
            top.value.put(str(value) if isinstance(value, Unquoted) else value, at)
        elif top.key is None:
            self._key(top, top.value, value, at)
        else:
            if top.key in top.value.keys_at and top.key not in top.value:
                top.value.put(top.key, value, at)
            top.key = None

    def _key(self, top: _Open, into: Map, key: Value, at: Place) -> None:
        if not isinstance(key, str):
            advice = "Write a simple word before the colon."
            self._problem("bad-key", "a key must be text.", advice, at)
            top.key = ""
        elif key == "<<" and isinstance(key, Unquoted):
            advice = "Write the fields out, or use an alias for the whole value."
            self._problem("merge-key", "merge keys (<<) are not supported.", advice, at)
            top.key = ""
        else:
            top.key = str(key)
            if key in into.keys_at:
                line, column = into.keys_at[key]
                first = Location(file=self._file, line=line, column=column)
                self._problem(
                    "duplicate-key",
                    f'the key "{key}" stands twice in this mapping.',
                    f"The first is at {first}. Keep one of them.",
                    at,
                )
            else:
                into.keys_at[top.key] = at

    def _check_tag(self, tag: str | None, at: Place) -> None:
        if tag is None or tag == _STRING:
            return
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        summary = f"the tag {shown} is not allowed."
        advice = "Only !!str is; a value in quotes is text without it."
        if tag.startswith(_PYTHON):
            raise self._end("tag", summary, advice, at)
        self._problem("tag", summary, advice, at)

    def _problem(
        self,
        code: str,
        summary: str,
        detail: str,
        at: Place,
        severity: Severity = Severity.ERROR,
    ) -> None:
        location = Location(file=self._file, line=at[0], column=at[1])
        self._problems.append(
            Diagnostic(
                code=code, summary=summary, detail=detail, location=location, severity=severity
            )
        )

    def _end(self, code: str, summary: str, detail: str, at: Place) -> _Unreadable:
        location = Location(file=self._file, line=at[0], column=at[1])
        return _Unreadable(code, summary, detail, location)


def _in_words(problem: str, found: str) -> tuple[str, str]:
    """Say in the user's words what libyaml (or PyYAML's own parser) says in its own."""
    if found == "\t" and "character" in problem:
        return "a tab stands where only spaces may.", "Indent with spaces."
    if "cannot start any token" in problem:
        return f'a value cannot begin with "{found}".', "Put it in quotes."
    if "mapping values are not allowed" in problem:
        advice = "Check the indentation; put a value that holds a colon and a space in quotes."
        return "a colon does not fit here.", advice
    if "end of stream" in problem:
        return "this quoted text has no end.", "Add the closing quote."
    problem = problem.replace("did not find expected", "expected").replace("<", "").replace(">", "")
    return f"not valid YAML: {problem}.", "Check indentation, quotes and brackets just before."


def _place(event: Event) -> Place:
    mark: Any = event.start_mark  # every event of a parser has one
    return mark.line + 1, mark.column + 1


def _lines(event: Event) -> int:
    start: Any = event.start_mark
    end: Any = event.end_mark
    return int(end.line - start.line + 1)
