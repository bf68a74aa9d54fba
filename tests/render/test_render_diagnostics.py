"""Problems in the user's files: in the style of a compiler, and as JSON."""

import json

import pytest

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.render import diagnostics

PROBLEM = Diagnostic(
    code="unknown-field",
    summary="a Segment has no field memebers.",
    detail="Did you mean members?\nSee `segctl schema manifest`.",
    location=Location(file="a.yaml", line=2, column=3),
)
WARNING = Diagnostic(code="odd", summary="odd.", severity=Severity.WARNING)


def test_a_problem_looks_like_a_compiler_message() -> None:
    assert diagnostics.render_text([PROBLEM, WARNING]) == (
        "a.yaml:2:3: error: a Segment has no field memebers.\n"
        "    Did you mean members?\n"
        "    See `segctl schema manifest`.\n"
        "warning: odd.\n"
    )


def test_the_caret_points_at_the_column_even_after_escapes() -> None:
    shown = diagnostics.render_text([PROBLEM], source=lambda _: "\t memebers: x\n").splitlines()
    assert shown[1] == "    | \\t memebers: x"
    assert shown[2] == "    |    ^"


def test_a_location_without_a_line_has_no_caret() -> None:
    whole = Diagnostic(code="x", summary="too large.", location=Location(file="b.yaml"))
    assert diagnostics.render_text([whole], source=lambda _: None) == "b.yaml: error: too large.\n"


@pytest.mark.parametrize("evil", ["\x1b[2J", "\r", "\u202e"])
def test_text_from_a_file_cannot_control_the_terminal(evil: str) -> None:
    problem = Diagnostic(
        code="x", summary=evil, detail=evil, location=Location(file=evil, line=1, column=1)
    )
    shown = diagnostics.render_text([problem], source=lambda _: evil)
    assert all(line.isprintable() for line in shown.split("\n"))


def test_the_document_counts_and_lists() -> None:
    document = json.loads(diagnostics.render_validation([PROBLEM, WARNING], ["x.yaml:1"]))
    assert document == {
        "format_version": "1.0",
        "valid": False,
        "error_count": 1,
        "warning_count": 1,
        "diagnostics": [
            {
                "severity": "error",
                "code": "unknown-field",
                "summary": "a Segment has no field memebers.",
                "detail": "Did you mean members?\nSee `segctl schema manifest`.",
                "range": {"filename": "a.yaml", "start": {"line": 2, "column": 3}},
            },
            {"severity": "warning", "code": "odd", "summary": "odd.", "detail": "", "range": None},
        ],
        "passed_over": ["x.yaml:1"],
        "ignored": [],
    }


def test_warnings_alone_leave_a_workspace_valid() -> None:
    assert json.loads(diagnostics.render_validation([WARNING], []))["valid"]
