"""The checks of ``segctl doctor``, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict

from segctl.core.health import Check, Status, has_problem
from segctl.render import json_document
from segctl.render import json_schema as js
from segctl.render import schema_parts as parts
from segctl.render.json_schema import Schema
from segctl.render.phrases import format_count
from segctl.render.style import Style, escaped


def render_checks(checks: Sequence[Check], *, style: Style) -> str:
    """Return one line for each check, with what to do below it, and a line with the sum."""
    paint = {Status.OK: style.green, Status.WARNING: style.yellow, Status.PROBLEM: style.red}
    width = max((len(check.topic) for check in checks), default=0)
    lines = []
    for check in checks:
        status = paint[check.status](f"{check.status:7}")
        lines.append(f"{status}  {check.topic:{width}}  {escaped(check.summary)}")
        if check.advice:
            lines.append(f"{'':{width + 11}}{escaped(check.advice)}")
    counts = {status: sum(check.status is status for check in checks) for status in Status}
    problems = format_count(counts[Status.PROBLEM], "problem")
    warnings = format_count(counts[Status.WARNING], "warning")
    return "".join(f"{line}\n" for line in [*lines, "", f"{problems}, {warnings}."])


def render_json(checks: Sequence[Check]) -> str:
    """Return the JSON document of the checks."""
    return json_document.facts(
        healthy=not has_problem(checks), checks=[asdict(check) for check in checks]
    )


def doctor_schema() -> Schema:
    """Return the schema of ``segctl doctor --json``."""
    fields = {
        "format_version": parts.FORMAT_VERSION,
        "healthy": js.flag("Whether no check found a problem. The exit code is then 0."),
        "checks": js.array("The checks.", js.reference("Check")),
    }
    return js.document(
        "doctor",
        "segctl doctor",
        "The document of `segctl doctor --json`. It has no credentials and no user key. "
        f"{parts.IGNORE_ADDED}",
        js.record("", fields),
        {"Check": check_schema()},
    )


def check_schema() -> Schema:
    """Return the schema of one check."""
    return js.record(
        "One check.",
        {
            "topic": js.text(
                "What was looked at, such as credentials. Several can have one topic."
            ),
            "status": js.choice(
                "A problem makes some command fail; a warning may be intended.",
                *(str(status) for status in Status),
            ),
            "summary": js.text("What was found."),
            "advice": js.text("What to do; empty if there is nothing to do."),
        },
    )
