"""Canonical YAML, made by moving text: values and comments are never written anew.

Keys stand in the order of the models, indentation is two spaces, lists are
indented below their key, blank lines come one at a time.  Scalars, collections
in brackets and the order of lists stay exactly as they are written, and what
would change a value is not done at all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.classify import recognize
from segctl.manifests.documents import KINDS
from segctl.manifests.explain import known_fields
from segctl.manifests.yaml_layout import Entry, Part, Region, Unusual, regions
from segctl.manifests.yaml_reader import decode, parse
from segctl.manifests.yaml_tree import Document, Path, look

_STEP = "  "


@dataclass(frozen=True, kw_only=True)
class Formatted:
    """The canonical text of a file, ``None`` where the file cannot be read.

    Documents that are not ours are left as they are.
    """

    text: str | None
    diagnostics: tuple[Diagnostic, ...] = ()


def format_file(file: str, content: bytes) -> Formatted:
    """Format the documents of a file; formatting twice gives the same text as once."""
    before = parse(file, content)
    recognized = recognize(before.documents)
    found = [*before.diagnostics, *recognized.diagnostics]
    if any(d.severity is Severity.ERROR for d in found):
        return Formatted(text=None, diagnostics=tuple(found))
    old = decode(file, content)
    try:
        new = _format(old, recognized.documents)
    except Unusual:
        return _left(file, old)
    after = parse(file, new.encode())
    if _values(after.documents) != _values(before.documents) or _ink(new) != _ink(old):
        return _left(file, old)
    return Formatted(text=new)


def _left(file: str, text: str) -> Formatted:
    diagnostic = Diagnostic(
        code="not-formatted",
        summary="the notation of this file is unusual; it is left as it is.",
        detail="Anchors or explicit keys (?) on lines of their own are the common reasons.",
        location=Location(file=file),
        severity=Severity.WARNING,
    )
    return Formatted(text=text, diagnostics=(diagnostic,))


def _values(documents: Sequence[Document]) -> list[object]:
    return [d.data for d in documents]


def _ink(text: str) -> Counter[str]:
    """Count what is not white space: moving text around neither adds nor loses any."""
    return Counter("".join(text.split()))


def _format(text: str, ours: Sequence[Document]) -> str:
    lines = text.split("\n")
    kinds = {d.start[0] - 1: str(look(d.data, "kind")) for d in ours}
    result: list[str] = []
    done = 0
    for region in regions(lines):
        result += (line.rstrip() for line in lines[done : region.start])
        kind = kinds.get(region.root.line)
        body = lines[region.start : region.end]
        result += _document(lines, region, KINDS[kind]) if kind else body
        done = region.end
    result += (line.rstrip() for line in lines[done:])
    return "\n".join(result).strip("\n") + "\n"


def _document(lines: list[str], region: Region, model: type[BaseModel]) -> list[str]:
    root = region.root
    if not root.is_map or root.line < region.start:
        return lines[region.start : region.end]
    head = _tidy(lines[region.start : root.line])
    while head and not head[0]:
        del head[0]
    return [*head, *_Printer(lines, model).collection(root, root.line, region.end, ())]


def _tidy(lines: Sequence[str], indent: str = "") -> list[str]:
    """Give comments and blank lines, no two blank ones together."""
    tidy: list[str] = []
    for line in lines:
        text = line.strip()
        if text or (tidy and tidy[-1]) or not tidy:
            tidy.append(indent + text if text else "")
    return tidy


class _Printer:
    """Prints the parts of a document; lines are relative to the part's own column."""

    def __init__(self, lines: list[str], model: type[BaseModel]) -> None:
        self._lines = lines
        self._model = model

    def collection(self, part: Part, start: int, end: int, path: Path) -> list[str]:
        """Print a block collection; it has the lines ``start`` to ``end``, comments included."""
        print_entry = self._pair if part.is_map else self._item
        printed: list[tuple[str, list[str]]] = []
        for i, entry in enumerate(part.entries):
            limit = part.entries[i + 1].line if i + 1 < len(part.entries) else end
            stop = self._lead(part.column, entry.value.last + 1, limit)
            lead = _tidy(self._lines[start : entry.line])
            body = print_entry(part, entry, stop, path)
            printed.append((_bare(entry.key), [*lead, *body]))
            start = stop
        if part.is_map:
            order = {name: i for i, name in enumerate(known_fields(self._model, path))}
            printed.sort(key=lambda one: order.get(one[0], len(order)))
        lines = [line for _, chunk in printed for line in chunk]
        lines += _tidy(self._lines[start:end])
        return lines[1:] if not lines[0] else lines

    def _lead(self, column: int, start: int, end: int) -> int:
        """Find the line from which the comments after an entry belong to what follows it."""
        lead = end
        for line in range(end - 1, start - 1, -1):
            text = self._lines[line]
            if text.strip() and len(text) - len(text.lstrip()) > column:
                break
            lead = line
        return lead

    def _pair(self, part: Part, entry: Entry, stop: int, path: Path) -> list[str]:
        value = entry.value
        after = self._lines[entry.line][part.column + len(entry.key) :].lstrip()
        if not after.startswith(":") or (value.line > entry.line and not value.entries):
            raise Unusual
        text = after[1:].strip()
        note = after[1:].rstrip() if text.startswith("#") else f" {text}"
        head = f"{entry.key}:{note}" if text else f"{entry.key}:"
        if value.entries:
            body = self.collection(value, entry.line + 1, stop, (*path, _bare(entry.key)))
            return [head, *_indented(body)]
        return [head, *self._rest(value, part.column, stop)]

    def _item(self, part: Part, entry: Entry, stop: int, path: Path) -> list[str]:
        value = entry.value
        text = self._lines[entry.line][part.column + 1 :].strip()
        if not value.entries:
            if value.line > entry.line:
                raise Unusual
            return [f"- {text}" if text else "-", *self._rest(value, part.column, stop)]
        if value.line == entry.line:
            return _dashed(self.collection(value, entry.line, stop, (*path, 0)))
        body = self.collection(value, entry.line + 1, stop, (*path, 0))
        if text and not text.startswith("#"):
            return [f"- {text}", *_indented(body)]
        return [*([text] if text else []), *_dashed(body)]

    def _rest(self, value: Part, column: int, stop: int) -> list[str]:
        """Give the further lines of a leaf, moved with their owner, and comments below it."""
        further = self._lines[value.line + 1 : value.last + 1]
        moved = [line[min(column, len(line) - len(line.lstrip(" "))) :] for line in further]
        return [*moved, *_tidy(self._lines[value.last + 1 : stop], _STEP)]


def _bare(key: str) -> str:
    return key.strip("\"'")


def _indented(lines: Sequence[str]) -> list[str]:
    return [_STEP + line if line else line for line in lines]


def _dashed(lines: Sequence[str]) -> list[str]:
    """Put a dash before the first line that is no comment."""
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    return [*lines[:first], f"- {lines[first]}", *_indented(lines[first + 1 :])]
