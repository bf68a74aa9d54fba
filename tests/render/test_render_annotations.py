"""Annotations: escaped for the runner, at paths of the repository, within GitHub's limits."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.plan.model import Figures, Finding
from segctl.render.annotations import (
    annotate_diagnostics,
    annotate_findings,
    render_code_quality,
    render_github,
)

PROBLEM = Diagnostic(
    code="unknown-field",
    summary='unknown field "x".',
    detail="Remove it.\nOr correct it.",
    location=Location(file="a/gold.yaml", line=3, column=5),
)
FINDING = Finding(
    severity=Severity.WARNING,
    code="min-rows",
    summary="12 rows",
    figures=Figures(count=12, place="gold.yaml:7:5", segments=("segment.gold",)),
)
COMMAND = re.compile(r"::(error|warning) ((?:\w+=[^:,\r\n]*,?)+)::([^\r\n]*)")
HOSTILE = st.text() | st.sampled_from(
    ["::error::x", "%0A::warning::", "##[x]", "a,b:c\r\n", "\x1b"]
)


def unescaped(value: str) -> str:
    for escape, character in (("%3A", ":"), ("%2C", ","), ("%0A", "\n"), ("%0D", "\r")):
        value = value.replace(escape, character)
    return value.replace("%25", "%")


def test_a_problem_becomes_a_command_at_its_line() -> None:
    assert render_github(annotate_diagnostics([PROBLEM], "growth")) == (
        "::error file=growth/a/gold.yaml,line=3,col=5,title=segctl%3A unknown-field::"
        'unknown field "x".%0ARemove it.%0AOr correct it.\n'
    )


def test_a_finding_becomes_a_command_at_its_place() -> None:
    (line,) = render_github(annotate_findings([FINDING], "")).splitlines()
    assert line == "::warning file=gold.yaml,line=7,col=5,title=segctl%3A min-rows::12 rows"


def test_a_finding_without_a_place_and_a_note_are_not_annotated() -> None:
    without = replace(FINDING, figures=Figures(count=1))
    note = replace(FINDING, severity=Severity.INFO)
    assert render_github(annotate_findings([without, note], "")) == ""


@given(summary=HOSTILE, detail=HOSTILE, file=HOSTILE)
def test_no_value_ends_its_property_or_begins_a_command(
    summary: str, detail: str, file: str
) -> None:
    problem = replace(PROBLEM, summary=summary, detail=detail, location=Location(file=file))
    text = render_github(annotate_diagnostics([problem], ""))
    assert text.count("\n") == 1
    found = COMMAND.fullmatch(text[:-1])
    assert found
    assert not re.search(r"##\[|##vso\[", text)
    assert unescaped(found[3]).partition("\n")[0].isprintable()


def test_only_what_github_shows_is_sent_and_the_rest_is_counted() -> None:
    problems = [replace(PROBLEM, summary=f"problem {number}") for number in range(13)]
    lines = render_github(annotate_diagnostics(problems, "")).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "3 more errors of this run: GitHub shows 10 of a step at their lines."


@pytest.mark.parametrize(("file", "path"), [("../shared.csv", "shared.csv"), ("../../x", None)])
def test_a_path_is_relative_to_the_repository_or_left_out(file: str, path: str | None) -> None:
    problem = replace(PROBLEM, location=Location(file=file, line=1))
    text = render_github(annotate_diagnostics([problem], "growth"))
    assert (f"file={path}," in text) if path else ("file=" not in text)


def test_the_code_quality_report_has_what_gitlab_needs() -> None:
    (issue,) = json.loads(render_code_quality(annotate_diagnostics([PROBLEM], "growth")))
    assert len(issue.pop("fingerprint")) == 64
    assert issue == {
        "description": 'unknown field "x". Remove it. Or correct it.',
        "check_name": "unknown-field",
        "severity": "major",
        "location": {"path": "growth/a/gold.yaml", "lines": {"begin": 3}},
    }


def fingerprints(*problems: Diagnostic) -> list[str]:
    report = json.loads(render_code_quality(annotate_diagnostics(problems, "")))
    return [issue["fingerprint"] for issue in report]


def test_a_fingerprint_stays_when_lines_move_and_differs_between_problems() -> None:
    moved = replace(PROBLEM, location=Location(file="a/gold.yaml", line=30))
    other = replace(PROBLEM, summary="another")
    assert fingerprints(PROBLEM) == fingerprints(moved)
    assert len(set(fingerprints(PROBLEM, moved, other))) == 3


def test_the_fingerprint_of_a_finding_does_not_hold_its_counts() -> None:
    more = replace(FINDING, summary="13 rows", figures=replace(FINDING.figures, count=13))  # type: ignore[type-var]
    first, second = (render_code_quality(annotate_findings([f], "")) for f in (FINDING, more))
    assert json.loads(first)[0]["fingerprint"] == json.loads(second)[0]["fingerprint"]


def test_a_problem_without_a_file_is_shown_at_the_project() -> None:
    (issue,) = json.loads(
        render_code_quality(annotate_diagnostics([replace(PROBLEM, location=None)], ""))
    )
    assert issue["location"] == {"path": "segctl.yaml", "lines": {"begin": 1}}
