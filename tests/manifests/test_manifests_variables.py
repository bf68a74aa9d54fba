"""Where the values of variables come from, and where they are filled in."""

import pytest

from segctl.manifests.compile import CompileResult
from segctl.manifests.desired import QuerySource
from segctl.manifests.sql_parameters import find_parameters
from tests.manifests.manifest_kit import Compile, desired_state, segment

SPEC = "{variables: {as_of: {default: default}}}"


def display_name(result: CompileResult) -> str:
    return desired_state(result).segments[0].display_name


def named(display_name: str) -> str:
    """Return a Segment with a display name, in quotes."""
    return segment(spec=f"displayName: '{display_name}'")


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({"as_of": "option"}, {"SEGCTL_VAR_as_of": "set"}, "option"),
        ({}, {"SEGCTL_VAR_as_of": "set", "SEGCTL_VAR_AS_OF": "SET"}, "set"),
        ({}, {"SEGCTL_VAR_AS_OF": "SET"}, "SET"),
        ({}, {}, "default"),
    ],
)
def test_the_command_line_wins_over_the_environment_and_that_over_the_default(
    compiled: Compile, options: dict[str, str], environment: dict[str, str], expected: str
) -> None:
    result = compiled(named("${var.as_of}"), spec=SPEC, variables=options, environment=environment)
    assert display_name(result) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Gold ${var.as_of}, ${var.as_of}", "Gold x, x"),
        ("$${var.as_of}", "${var.as_of}"),
        ("$as_of $$ {}", "$as_of $$ {}"),
    ],
)
def test_references_are_replaced_and_escapes_are_not(
    compiled: Compile, written: str, expected: str
) -> None:
    result = compiled(named(written), spec=SPEC, variables={"as_of": "x"})
    assert display_name(result) == expected


def test_references_in_a_value_are_not_replaced(compiled: Compile) -> None:
    result = compiled(named("${var.as_of}"), spec=SPEC, variables={"as_of": "${var.as_of}"})
    assert display_name(result) == "${var.as_of}"


def test_a_filled_in_value_is_checked_like_a_written_one(compiled: Compile) -> None:
    result = compiled(named("${var.as_of}"), spec=SPEC, variables={"as_of": " x"})
    assert [d.code for d in result.diagnostics] == ["white-space"]


def test_a_number_may_come_from_a_variable(compiled: Compile) -> None:
    spec = "{variables: {n: {default: 7}}, guards: {maxDestroys: ${var.n}}}"
    desired = compiled(spec=spec.replace("${var.n}", '"${var.n}"')).desired
    assert desired is None
    block = "\n  variables: {n: {default: 7}}\n  guards:\n    maxDestroys: ${var.n}\n"
    assert desired_state(compiled(spec=block)).project.max_destroys == 7


def test_only_the_parameters_that_a_query_uses_are_bound(compiled: Compile) -> None:
    manifest = segment(
        spec="displayName: Gold, members: [{query: {sql: \"select $as_of -- '$other' $other\"}}]"
    )
    spec = "{variables: {as_of: {default: a}, other: {default: b}}}"
    source = desired_state(compiled(manifest, spec=spec)).loads[0].source
    assert isinstance(source, QuerySource)
    assert source.parameters == {"as_of": "a"}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select $a, $b, $a", ("a", "b")),
        ("select '$a', 'it''s $a', \"$a\"", ()),
        (r"select E'it\'s $a', $b", ("b",)),
        ("select 1 -- $a\n, $b", ("b",)),
        ("select 1 /* $a /* $b */ $c */, $d", ("d",)),
        ("select $$ $a $$, $t$ $b $$ $t$, $c", ("c",)),
        ("select a$b, $c", ("c",)),
        ("select 'unclosed $a", ("a",)),
        ("select 1 /* unclosed $a", ()),
        ("select $1", ("1",)),
    ],
)
def test_parameters_are_found_outside_of_quotes_and_comments(
    sql: str, expected: tuple[str, ...]
) -> None:
    assert find_parameters(sql) == expected


def test_a_value_from_the_environment_that_ends_in_a_line_break_is_an_error(
    compiled: Compile,
) -> None:
    result = compiled(segment(), spec=SPEC, environment={"SEGCTL_VAR_AS_OF": "2026-01-01\n"})
    [problem] = result.diagnostics
    assert (problem.code, problem.summary) == (
        "variable-line-break",
        "SEGCTL_VAR_AS_OF ends in a line break.",
    )
