"""Which files ``spec.ignore`` hides: patterns as in .gitignore, relative to the workspace root.

They are read from ``segctl.yaml`` before the other files: those that they hide are not opened.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.declarations import PROJECT_FILE, kind_of
from segctl.manifests.desired import IgnoredPath
from segctl.manifests.yaml_reader import parse_file
from segctl.manifests.yaml_tree import Document, Map, Seq, lookup

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_API_VERSION = re.compile(rb"""["']?apiVersion["']?\s*:\s*["']?segctl""", re.IGNORECASE)
_SPECIAL = re.compile(r"[\\*?\[]|^[#!]")
_WILDCARDS = re.compile(r"(?<!\\)\*+")
_MAX_WILDCARDS = 4
"""In one pattern. With each more, the time to match a long name can grow a hundredfold."""

_FIELD = ("spec", "ignore")
_AS_GITIGNORE = "Patterns are as in .gitignore, relative to the workspace root."


class IgnoreRules:
    """The patterns of a workspace, and which of them have hidden something."""

    def __init__(
        self, patterns: Sequence[str], locations: Sequence[Location], spec: "GitIgnoreSpec | None"
    ) -> None:
        self._patterns = patterns
        self._locations = locations
        self._spec = spec
        self._decisive: set[int] = set()

    def match(self, path: str) -> IgnoredPath | None:
        """Return the path with the pattern that hides it, if one does. A folder ends in ``/``."""
        index, is_hidden = self._decide(path)
        if index is not None and path.endswith("/") and self._patterns[index].endswith("/**"):
            # a/** is what is in the folder a, and not the folder: !a/b takes something back.
            index, is_hidden = self._decide(path[:-1])
        if index is None:
            return None
        self._decisive.add(index)
        return IgnoredPath(path=path, pattern=self._patterns[index]) if is_hidden else None

    def _decide(self, path: str) -> tuple[int | None, bool]:
        """Return the index of the last pattern that matches, and whether it hides the path."""
        found = self._spec.check_file(path) if self._spec else None
        return (found.index, bool(found.include)) if found else (None, False)

    def unused(self) -> Iterator[Diagnostic]:
        """Yield a warning for each pattern that decided about no path so far."""
        for index, (pattern, location) in enumerate(
            zip(self._patterns, self._locations, strict=True)
        ):
            if index not in self._decisive:
                yield Diagnostic(
                    code="unused-ignore",
                    summary=f'the pattern "{pattern}" hides no file or folder.',
                    detail="Nothing matches it, or another pattern decides about the same. "
                    f"{_AS_GITIGNORE} Correct it, or remove it.",
                    location=location,
                    severity=Severity.WARNING,
                )


def ignore_hint(file: str) -> str:
    """Return a sentence, after a space, on how to leave a file alone. Empty for the Project."""
    if file == PROJECT_FILE:
        return ""
    pattern = json.dumps(_SPECIAL.sub(r"\\\g<0>", file), ensure_ascii=False)
    where = f"list it under spec.ignore in {PROJECT_FILE}"
    return f" If the file is not segctl's, {where}: ignore: [{pattern}]."


def resembles_manifest(content: bytes) -> bool:
    """Whether the text of a file has the apiVersion of a manifest."""
    return bool(_API_VERSION.search(content))


NO_RULES = IgnoreRules((), (), None)


def read_ignore_rules(file: str, content: bytes) -> tuple[IgnoreRules, list[Diagnostic]]:
    """Return the patterns in the content of ``segctl.yaml``, and those that cannot be used.

    Problems with the file itself, and values of the wrong type, are reported when it is compiled.
    """
    if b"ignore" not in content and b"\\" not in content:
        return NO_RULES, []  # no escape can spell the field either
    documents = parse_file(file, content).documents
    projects = (d for d in documents if isinstance(d.data, Map) and kind_of(d) == "Project")
    project = next(projects, None)
    items = lookup(project.data, *_FIELD) if project else None
    if project is None or not isinstance(items, Seq):
        return NO_RULES, []
    return _build_rules(project, items)


def _build_rules(project: Document, items: Seq) -> tuple[IgnoreRules, list[Diagnostic]]:
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - few workspaces have patterns

    patterns: list[str] = []
    locations: list[Location] = []
    problems: list[Diagnostic] = []
    for index, item in enumerate(items):
        if not isinstance(item, str):
            continue
        location = project.locate((*_FIELD, index))
        try:
            [parsed] = GitIgnoreSpec.from_lines([item]).patterns
            is_pattern = parsed.include is not None
        except ValueError:
            is_pattern = False
        if "${" in item:
            problems.append(_with_variable(location))
        elif len(_WILDCARDS.findall(item)) > _MAX_WILDCARDS:
            problems.append(_too_many_wildcards(location))
        elif is_pattern:
            patterns.append(item)
            locations.append(location)
        else:
            problems.append(_not_a_pattern(item, location))
    return IgnoreRules(patterns, locations, GitIgnoreSpec.from_lines(patterns)), problems


def _with_variable(location: Location) -> Diagnostic:
    return Diagnostic(
        code="variable-not-allowed",
        summary="a pattern of spec.ignore cannot have a variable.",
        detail="It says which files are manifests, and that is the same in every run. "
        "Write the pattern.",
        location=location,
    )


def _too_many_wildcards(location: Location) -> Diagnostic:
    return Diagnostic(
        code="bad-pattern",
        summary=f"a pattern of spec.ignore can have at most {_MAX_WILDCARDS} of * and **.",
        detail="Write a simpler pattern, or several.",
        location=location,
    )


def _not_a_pattern(item: str, location: Location) -> Diagnostic:
    return Diagnostic(
        code="bad-pattern",
        summary=f'"{item}" is no pattern that can match a file.',
        detail=f"{_AS_GITIGNORE} A line that begins with # is a comment there: write \\#.",
        location=location,
    )
