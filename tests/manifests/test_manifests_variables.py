from collections.abc import Callable

import pytest

from segctl.manifests.compile import Compiled
from segctl.manifests.desired import QuerySource
from segctl.manifests.variables import parameters

Compile = Callable[..., Compiled]
SPEC = "{variables: {as_of: {default: default}}}"


def name(compiled: Compiled) -> str:
    assert compiled.desired is not None, compiled.diagnostics
    return compiled.desired.segments[0].display_name


def segment(display_name: str) -> str:
    return (
        "{apiVersion: segctl/v1, kind: Segment, metadata: {name: gold},"
        f" spec: {{displayName: '{display_name}'}}}}"
    )


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ({"as_of": "given"}, {"SEGCTL_VAR_as_of": "set"}, "given"),
        ({}, {"SEGCTL_VAR_as_of": "set", "SEGCTL_VAR_AS_OF": "SET"}, "set"),
        ({}, {"SEGCTL_VAR_AS_OF": "SET"}, "SET"),
        ({}, {}, "default"),
    ],
)
def test_the_command_line_goes_before_the_environment_and_that_before_the_default(
    compiled: Compile, given: dict[str, str], environment: dict[str, str], expected: str
) -> None:
    result = compiled(segment("${var.as_of}"), spec=SPEC, variables=given, environment=environment)
    assert name(result) == expected


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
    result = compiled(segment(written), spec=SPEC, variables={"as_of": "x"})
    assert name(result) == expected


def test_a_value_is_not_searched_for_further_references(compiled: Compile) -> None:
    result = compiled(segment("${var.as_of}"), spec=SPEC, variables={"as_of": "${var.as_of}"})
    assert name(result) == "${var.as_of}"


def test_a_value_put_in_is_checked_like_a_written_one(compiled: Compile) -> None:
    result = compiled(segment("${var.as_of}"), spec=SPEC, variables={"as_of": " x"})
    assert [d.code for d in result.diagnostics] == ["white-space"]


def test_a_number_may_come_from_a_variable(compiled: Compile) -> None:
    spec = "{variables: {n: {default: 7}}, guards: {maxDestroys: ${var.n}}}"
    desired = compiled(spec=spec.replace("${var.n}", '"${var.n}"')).desired
    assert desired is None
    block = "\n  variables: {n: {default: 7}}\n  guards:\n    maxDestroys: ${var.n}\n"
    desired = compiled(spec=block).desired
    assert desired is not None
    assert desired.project.max_destroys == 7


def test_only_the_parameters_that_a_query_uses_are_bound(compiled: Compile) -> None:
    manifest = (
        "{apiVersion: segctl/v1, kind: Segment, metadata: {name: gold}, spec: {displayName: Gold,"
        " members: [{query: {sql: \"select $as_of, '$other' -- $other\"}}]}}"
    )
    spec = "{variables: {as_of: {default: a}, other: {default: b}}}"
    desired = compiled(manifest, spec=spec).desired
    assert desired is not None
    source = desired.loads[0].source
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
    assert parameters(sql) == expected
