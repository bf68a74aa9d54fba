"""Parse YAML text into documents whose values know their positions.

The parser reads PyYAML's events and not its values, since PyYAML would turn the user id
``0012345`` into a number and ``NO`` into false. Nothing here recurses, and nesting and aliases
are limited, so no file can hang or crash a run.
"""

import re
from collections.abc import Callable, Iterator
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

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.yaml_tree import Document, Map, Position, Seq, Unquoted, Value

_CONFLICT_MARKS = re.compile(r"^(?:<{7} |={7}$|>{7} )", re.MULTILINE)

MAX_BYTES = 64 << 20
MAX_DEPTH = 100
MAX_ALIASED = 1_000_000
"""The number of values that all aliases of a file together may repeat."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser of libyaml, or PyYAML's own, which is slower, if PyYAML was built without it."""

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_STRING_TAG = "tag:yaml.org,2002:str"
_UNPRINTABLE = (
    "[^\\t\\n\\r\\x20-\\x7e\\xa0-\\u2027\\u202a-\\ud7ff"
    "\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"
)
"""Characters that YAML forbids, and line separators that editors do not show as line ends."""
_UNPRINTABLE_ASCII = "[^\\t\\n\\r\\x20-\\x7e]"
"""The same for ASCII text. The longer pattern takes some milliseconds to compile."""


@dataclass(frozen=True, kw_only=True)
class ParsedFile:
    """The documents of a file, and the problem that stopped the parser, if any."""

    documents: tuple[Document, ...]
    diagnostics: tuple[Diagnostic, ...]


class _ParseError(Exception):
    """The parser cannot continue with this file."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.summary)
        self.diagnostic = diagnostic


def parse_file(file: str, content: bytes) -> ParsedFile:
    """Parse the documents of a file, without empty ones. Problems are in the result."""
    documents: list[Document] = []
    try:
        text = decode_text(file, content)
        documents.extend(d for d in _documents(file, text) if d.data is not None)
    except _ParseError as error:
        return ParsedFile(documents=tuple(documents), diagnostics=(error.diagnostic,))
    return ParsedFile(documents=tuple(documents), diagnostics=())


def decode_text(file: str, content: bytes) -> str:
    """Return the text of a file, with Windows and old Mac line ends replaced by a newline."""
    if len(content) > MAX_BYTES:
        raise _ParseError(too_large(file, len(content)))
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _not_utf8("the file is encoded as UTF-16, not UTF-8.", Location(file=file))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        location = end_of_text(file, content[: error.start].decode("utf-8-sig", "replace"))
        raise _not_utf8("the file is not valid UTF-8.", location) from None
    if bad := re.search(_UNPRINTABLE_ASCII if text.isascii() else _UNPRINTABLE, text):
        code_point = f"{ord(bad[0]):04X}"
        raise _ParseError(
            Diagnostic(
                code="control-character",
                summary=f"a manifest cannot contain the character U+{code_point}.",
                detail=f'Remove it, or write it as "\\u{code_point}" in double quotes.',
                location=end_of_text(file, text[: bad.start()]),
            )
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def too_large(file: str, size: int) -> Diagnostic:
    """Return the diagnostic for a file of more than ``MAX_BYTES``."""
    return Diagnostic(
        code="file-too-large",
        summary=f"the file has {-(-size >> 20):,} MB; the limit for a manifest is "
        f"{MAX_BYTES >> 20} MB.",
        detail="Move the members to a CSV, Parquet or text file and use a file source.",
        location=Location(file=file),
    )


def _not_utf8(summary: str, location: Location) -> _ParseError:
    return _ParseError(
        Diagnostic(
            code="not-utf8", summary=summary, detail="Save the file as UTF-8.", location=location
        )
    )


def end_of_text(file: str, text: str) -> Location:
    """Return the location after ``text``, the beginning of a file."""
    line = text.count("\n") + 1
    return Location(file=file, line=line, column=len(text) - text.rfind("\n"))


def _documents(file: str, text: str) -> Iterator[Document]:
    loader = LOADER(text)
    aliased = 0
    try:
        while not isinstance(event := loader.get_event(), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                builder = _DocumentBuilder(file, loader.get_event, aliased)
                yield builder.build()
                aliased = builder.aliased
    except yaml.MarkedYAMLError as error:
        if marks := _CONFLICT_MARKS.search(text):
            raise _ParseError(_conflict(file, text.count("\n", 0, marks.start()) + 1)) from None
        raise _ParseError(_syntax_problem(file, text.split("\n"), error)) from None
    finally:
        loader.dispose()


@dataclass(slots=True)
class _OpenCollection:
    """A collection whose end is not read yet.

    In a mapping, ``key`` is the key of the next value, or ``None`` if that value is dropped.
    """

    value: Map | Seq
    expects_key: bool
    key: str | None = None


class _DocumentBuilder:
    """Builds one document from its events."""

    def __init__(self, file: str, next_event: Callable[[], Event], aliased: int) -> None:
        self.aliased = aliased
        self._file = file
        self._next_event = next_event
        self._problems: list[Diagnostic] = []
        self._anchors: dict[str, Value] = {}
        self._unused_anchors: dict[str, Position] = {}
        self._stack: list[_OpenCollection] = []
        self._root: Value = None

    def build(self) -> Document:
        """Read events up to the end of the document."""
        event = self._next_event()
        start = _position(event)
        while not isinstance(event, DocumentEndEvent):
            self._add_event(event)
            parent = self._stack[-1].value if self._stack else None
            event = self._add_items(parent) if isinstance(parent, Seq) else self._next_event()
        for anchor, position in self._unused_anchors.items():
            self._problems.append(
                self._problem(
                    position,
                    "unused-anchor",
                    f"the anchor &{anchor} is never used.",
                    'Remove it. If the value itself begins with "&", put it in quotes.',
                    Severity.WARNING,
                )
            )
        return Document(
            file=self._file, start=start, data=self._root, problems=tuple(self._problems)
        )

    def _add_event(self, event: Event) -> None:
        if isinstance(event, ScalarEvent):
            self._add_scalar(event)
        elif isinstance(event, CollectionStartEvent):
            self._open_collection(event)
        elif isinstance(event, CollectionEndEvent):
            self._stack.pop()
        elif isinstance(event, AliasEvent):
            self._add_alias(event.anchor or "", _position(event))

    def _add_items(self, parent: Seq) -> Event:
        """Add list items up to one with anchor or tag, or that is no scalar; return its event.

        The fast path for long member lists: little is called for each item.
        """
        next_event, append = self._next_event, parent.append
        add_line, add_column = parent.lines.append, parent.columns.append
        event = next_event()
        while isinstance(event, ScalarEvent) and event.anchor is None and event.tag is None:
            value: str | None = event.value
            if event.implicit[0]:
                if value in _NULLS:
                    value = None
                elif " " in event.value:
                    self._check_run_on(event)
            mark: Any = event.start_mark
            append(value)
            add_line(mark.line + 1)
            add_column(mark.column + 1)
            event = next_event()
        return event

    def _check_run_on(self, event: ScalarEvent) -> None:
        """Report an item without quotes that has several lines."""
        if _line_count(event) > 1:
            self._problems.append(
                self._problem(
                    _position(event),
                    "run-on-item",
                    "this list item continues on the next line.",
                    "If the next line is another item, begin it with a dash. "
                    "If it is part of a long value, put the value in quotes.",
                )
            )

    def _add_scalar(self, event: ScalarEvent) -> None:
        position = _position(event)
        self._check_tag(event.tag, position)
        value: str | None = event.value
        if event.implicit[0]:
            is_key = bool(self._stack) and self._stack[-1].expects_key
            value = None if event.value in _NULLS and not is_key else Unquoted(event.value)
        if event.anchor:
            self._anchors[event.anchor] = value
            self._unused_anchors[event.anchor] = position
        self._put(value, position)

    def _open_collection(self, event: CollectionStartEvent) -> None:
        position = _position(event)
        self._check_tag(event.tag, position)
        self._check_depth(1, position)
        value = Map() if isinstance(event, MappingStartEvent) else Seq()
        if event.anchor:
            self._anchors[event.anchor] = value
        self._put(value, position)
        self._stack.append(_OpenCollection(value, expects_key=isinstance(value, Map)))

    def _add_alias(self, anchor: str, position: Position) -> None:
        if anchor not in self._anchors:
            summary = f"the alias *{anchor} has no anchor &{anchor} before it."
            advice = 'Add the anchor. If the value itself begins with "*", put it in quotes.'
            raise _ParseError(self._problem(position, "unknown-alias", summary, advice))
        value = self._anchors[anchor]
        if any(collection.value is value for collection in self._stack):
            summary = f"the alias *{anchor} is part of the value that it refers to."
            advice = "Remove the alias: the value would never end."
            raise _ParseError(self._problem(position, "cyclic-alias", summary, advice))
        self._unused_anchors.pop(anchor, None)
        size, depth = _measure(value, MAX_ALIASED - self.aliased)
        self._check_depth(depth, position)
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            summary = f"the aliases of this file repeat more than {MAX_ALIASED:,} values."
            advice = "Move long lists to a member file and use a file source."
            raise _ParseError(self._problem(position, "alias-bomb", summary, advice))
        self._put(value, position)

    def _put(self, value: Value, position: Position) -> None:
        """Add a value, or a key, to the innermost open collection."""
        if not self._stack:
            self._root = value
            return
        parent = self._stack[-1]
        if isinstance(parent.value, Seq):
            # Items are always text, so whether one was in quotes makes no difference.
            parent.value.add(str(value) if isinstance(value, Unquoted) else value, position)
        elif parent.expects_key:
            parent.key = self._read_key(parent.value, value, position)
            parent.expects_key = False
        else:
            if parent.key is not None:
                parent.value[parent.key] = value
                parent.value.value_positions[parent.key] = position
            parent.expects_key = True

    def _read_key(self, mapping: Map, key: Value, position: Position) -> str | None:
        """Return a key as plain text, or report it and return ``None`` if it cannot be used."""
        if not isinstance(key, str):
            problem = "bad-key", "a key must be text.", "Write text before the colon."
        elif key == "<<" and isinstance(key, Unquoted):
            advice = "Write out the fields, or use an alias for the whole value."
            problem = "merge-key", "merge keys (<<) are not supported.", advice
        elif key in mapping:
            first = self._location(mapping.key_positions[key])
            advice = f"The first is at {first}. Remove one of them."
            problem = "duplicate-key", f'the key "{key}" is used twice in this mapping.', advice
        else:
            mapping.key_positions[str(key)] = position
            return str(key)
        self._problems.append(self._problem(position, *problem))
        return None

    def _check_tag(self, tag: str | None, position: Position) -> None:
        if tag is None or tag == _STRING_TAG:
            return
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        summary = f"the tag {shown} is not supported."
        advice = "Remove it; only !!str is allowed. A value in quotes is text without a tag."
        self._problems.append(self._problem(position, "tag", summary, advice))

    def _check_depth(self, added: int, position: Position) -> None:
        if len(self._stack) + added > MAX_DEPTH:
            summary = f"values are nested more than {MAX_DEPTH} levels deep."
            advice = "Reduce the nesting; a manifest needs fewer than ten levels."
            raise _ParseError(self._problem(position, "too-deep", summary, advice))

    def _problem(
        self,
        position: Position,
        code: str,
        summary: str,
        detail: str,
        severity: Severity = Severity.ERROR,
    ) -> Diagnostic:
        return Diagnostic(
            code=code,
            summary=summary,
            detail=detail,
            location=self._location(position),
            severity=severity,
        )

    def _location(self, position: Position) -> Location:
        return Location(file=self._file, line=position[0], column=position[1])


def _measure(value: Value, limit: int) -> tuple[int, int]:
    """Return how many values a tree has and how many levels of collections.

    Stop counting above ``limit``: the aliases in a small file can multiply to billions of values.
    """
    size, depth = 1, 0
    level = [value] if isinstance(value, Map | Seq) else []
    while level:
        depth += 1
        size += sum(map(len, level))
        if size > limit:
            break
        children = (c for v in level for c in (v.values() if isinstance(v, Map) else v))
        level = [child for child in children if isinstance(child, Map | Seq)]
    return size, depth


def _conflict(file: str, line: int) -> Diagnostic:
    return Diagnostic(
        code="conflict-marks",
        summary="the file has the marks of a merge conflict.",
        detail="Resolve the conflict, and commit the file.",
        location=Location(file=file, line=line, column=1),
    )


def _syntax_problem(file: str, lines: list[str], error: yaml.MarkedYAMLError) -> Diagnostic:
    problem, start = error.problem or "", error.context_mark
    unclosed = "end of stream" in problem
    mark: Any = start if unclosed and start else error.problem_mark
    line, column = mark.line, mark.column
    if line >= len(lines):  # libyaml counts one line more if the last one has no line end
        line, column = len(lines) - 1, len(lines[-1])
    summary, detail = _explain_syntax(problem, lines[line][column : column + 1])
    if "${" in lines[line][: column + 1] and "expected ','" in problem:
        detail = "Inside {…} or […], put a value that contains ${…} in quotes."
    if start and start.line < line:
        detail += f" The affected part starts on line {start.line + 1}."
    location = Location(file=file, line=line + 1, column=column + 1)
    return Diagnostic(code="syntax", summary=summary, detail=detail, location=location)


def _explain_syntax(problem: str, character: str) -> tuple[str, str]:
    """Return summary and detail for a message of libyaml or of PyYAML's own parser."""
    if character == "\t" and "character" in problem:
        return "YAML does not allow a tab here.", "Indent with spaces."
    if "cannot start any token" in problem:
        return f'a value cannot begin with "{character}".', "Put the value in quotes."
    if "mapping values are not allowed" in problem:
        advice = "Check the indentation. If a value contains a colon and a space, put it in quotes."
        return "YAML does not allow a colon here.", advice
    if "end of stream" in problem:
        return "this quoted text is not closed.", "Add the closing quote."
    problem = problem.replace("did not find expected", "expected").replace("<", "").replace(">", "")
    advice = "Check the indentation, quotes and brackets before this position."
    return f"invalid YAML: {problem}.", advice


def _position(event: Event) -> Position:
    mark: Any = event.start_mark  # set in every event of a parser
    return mark.line + 1, mark.column + 1


def _line_count(event: Event) -> int:
    start: Any = event.start_mark
    end: Any = event.end_mark
    return int(end.line - start.line + 1)
