"""Problems at lines of the repository's files, in the forms that GitHub and GitLab show there."""

import hashlib
import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Severity
from segctl.core.runner_marks import RUNNER_MARK
from segctl.plan.model import Finding
from segctl.render.phrases import format_count
from segctl.render.style import escaped

MAX_SHOWN = 10
"""GitHub shows so many errors and so many warnings of one step, and drops the others."""

_PLACE = re.compile(r"(.+?)(?::(\d+))?(?::(\d+))?", re.DOTALL)
_GITLAB_SEVERITIES = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.INFO: "info"}


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A problem in a file. ``file`` is relative to the repository, empty if there is none.

    ``line`` and ``column`` start at 1; 0 means the whole file or line. ``identity`` is what stays
    the same when lines move and counts change.
    """

    severity: Severity
    code: str
    file: str
    line: int
    column: int
    message: str
    identity: tuple[str, ...]


def annotate_diagnostics(
    diagnostics: Iterable[Diagnostic], workspace: str
) -> tuple[Annotation, ...]:
    """Return an annotation for each problem. ``workspace`` is its path in the repository."""
    return tuple(
        Annotation(
            severity=found.severity,
            code=found.code,
            file=_in_repository(workspace, found.location.file) if found.location else "",
            line=found.location.line if found.location else 0,
            column=found.location.column if found.location else 0,
            message=_text(found.summary, found.detail),
            identity=(found.summary,),
        )
        for found in diagnostics
    )


def annotate_findings(findings: Iterable[Finding], workspace: str) -> tuple[Annotation, ...]:
    """Return an annotation for each finding that has a place in a manifest."""
    return tuple(
        _annotate_finding(finding, finding.figures.place, workspace)
        for finding in findings
        if finding.figures and finding.figures.place
    )


def _annotate_finding(finding: Finding, place: str, workspace: str) -> Annotation:
    matched = _PLACE.fullmatch(place)
    file, line, column = matched.groups() if matched else (place, None, None)
    segments = finding.figures.segments if finding.figures else ()
    return Annotation(
        severity=finding.severity,
        code=finding.code,
        file=_in_repository(workspace, file or ""),
        line=int(line or 0),
        column=int(column or 0),
        message=_text(finding.summary, finding.detail),
        identity=(finding.address or "", *segments),
    )


def render_github(annotations: Sequence[Annotation]) -> str:
    """Return workflow commands for the first ``MAX_SHOWN`` errors and warnings, one a line.

    https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions. No value can
    end its property or its line, or begin another command.
    """
    lines = []
    for severity in (Severity.ERROR, Severity.WARNING):
        found = [annotation for annotation in annotations if annotation.severity is severity]
        lines += [_github_command(annotation) for annotation in found[:MAX_SHOWN]]
        if len(found) > MAX_SHOWN:
            lines.append(
                f"{format_count(len(found) - MAX_SHOWN, f'more {severity}')} of this run: GitHub "
                f"shows {MAX_SHOWN} of a step at their lines."
            )
    return "".join(f"{line}\n" for line in lines)


def render_code_quality(annotations: Sequence[Annotation]) -> str:
    """Return GitLab's Code Quality report. One without a file is shown at ``segctl.yaml``.

    https://docs.gitlab.com/ci/testing/code_quality/. A fingerprint does not change when lines move,
    so GitLab recognizes the problem in the next report.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    issues = []
    for annotation in annotations:
        identity = (annotation.code, annotation.file, *annotation.identity)
        seen[identity] += 1
        content = "\0".join((*identity, str(seen[identity])))
        issues.append(
            {
                "description": annotation.message.replace("\n", " "),
                "check_name": annotation.code,
                "fingerprint": hashlib.sha256(content.encode("utf-8", "replace")).hexdigest(),
                "severity": _GITLAB_SEVERITIES[annotation.severity],
                "location": {
                    "path": annotation.file or "segctl.yaml",
                    "lines": {"begin": max(1, annotation.line)},
                },
            }
        )
    return json.dumps(issues, indent=2) + "\n"


def _in_repository(workspace: str, file: str) -> str:
    """Return the path of a workspace's file in the repository, empty if it is outside of it."""
    path = posixpath.normpath(posixpath.join(workspace, file))
    return "" if path == ".." or path.startswith(("../", "/")) else path


def _text(summary: str, detail: str) -> str:
    return "\n".join(escaped(line) for line in (summary, *detail.splitlines()))


def _github_command(annotation: Annotation) -> str:
    properties = [
        f"{name}={_property(str(value))}"
        for name, value in (
            ("file", annotation.file),
            ("line", annotation.line),
            ("col", annotation.column),
            ("title", f"segctl: {annotation.code}"),
        )
        if value
    ]
    return f"::{annotation.severity} {','.join(properties)}::{_data(annotation.message)}"


def _data(value: str) -> str:
    """Escape the message of a workflow command, as the toolkit of GitHub does."""
    marked = RUNNER_MARK.sub("# #", value)
    return marked.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(escaped(value)).replace(":", "%3A").replace(",", "%2C")
