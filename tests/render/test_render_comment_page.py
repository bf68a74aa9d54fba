"""The notice that there is no plan: short, safe, and within its size."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.diagnostics import Diagnostic, Location
from segctl.core.errors import InvalidInput, OperationError, StateLocked
from segctl.render.comment_page import render_failure_comment

HOSTILE = st.text() | st.sampled_from(
    ["/merge", "\n/close", "@acme/all", "</code>", "<!-- x -->", "::error::", "\x1b[0m", "\u202e"]
)


def problem(number: int, summary: str = "wrong") -> Diagnostic:
    return Diagnostic(code="x", summary=summary, location=Location(file="a.yaml", line=number))


def render(error: Exception, *, workspace: str = "", env_name: str = "", size: int = 5000) -> str:
    return render_failure_comment(error, workspace=workspace, env_name=env_name, max_bytes=size)


def test_problems_are_counted_and_placed() -> None:
    text = render(InvalidInput([problem(3), problem(4)]), env_name="production", workspace="crm")
    assert text == (
        "### No plan for production: 2 problems\n<sub>Workspace <code>crm</code></sub>\n\n"
        "- <code>a.yaml:3</code>: wrong\n- <code>a.yaml:4</code>: wrong\n"
    )


def test_many_problems_are_cut_and_counted() -> None:
    text = render(InvalidInput([problem(n) for n in range(500)]))
    assert text.count("a.yaml") == 20
    assert text.endswith("- … and 480 more, in the log of the job\n")


def test_a_long_hint_is_cut_and_counted() -> None:
    hint = "\n".join(f"Step {number}." for number in range(30))
    text = render(OperationError("it failed", hint=hint))
    assert text.endswith("> Step 18.  \n- … and 11 more, in the log of the job\n")


def test_an_error_says_what_to_do() -> None:
    text = render(StateLocked("the state is locked", hint="Wait.\nOr not."))
    assert text == "### No plan\n\n> the state is locked  \n> Wait.  \n> Or not.  \n"


def test_an_unexpected_error_is_not_quoted() -> None:
    assert "secret" not in render(ValueError("secret"))


@given(texts=st.lists(HOSTILE, min_size=1, max_size=30), size=st.integers(3000, 6000))
@pytest.mark.parametrize("kind", ["problems", "error"])
def test_no_value_breaks_out_and_nothing_is_too_long(
    texts: list[str], size: int, kind: str
) -> None:
    problems = InvalidInput([problem(n, text) for n, text in enumerate(texts)])
    error = problems if kind == "problems" else OperationError(texts[0], hint="\n".join(texts[:9]))
    text = render(error, workspace=texts[0][:50], env_name=texts[-1][:50], size=size)
    assert len(text.encode()) <= size
    assert not re.search(r"^/|<!--|@\w|\x1b|\u202e|\r", text, re.MULTILINE)
    assert text.count("</code>") == text.count("<code>")
