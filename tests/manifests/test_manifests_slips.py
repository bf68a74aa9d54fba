"""What a newcomer writes in the first hour, and what each slip is told."""

from collections.abc import Callable

import pytest

from segctl.manifests.compile import Compiled

Compile = Callable[..., Compiled]

HEAD = "apiVersion: segctl/v1\nkind: Segment\n"


def told(compiled: Compiled) -> list[str]:
    return [str(diagnostic) for diagnostic in compiled.diagnostics]


@pytest.mark.parametrize("written", ["{name: ${var.x}}", "{name: gold-${var.x}, labels: {}}"])
def test_a_variable_in_a_flow_mapping_is_told_to_take_quotes(
    compiled: Compile, written: str
) -> None:
    (problem,) = told(compiled(f"{HEAD}metadata: {written}\n"))
    assert problem.endswith(
        "error: not valid YAML: expected ',' or '}'. "
        "Put a value that holds ${…} in quotes: its braces have a meaning here."
    )


@pytest.mark.parametrize(
    ("escape", "code"),
    [("\\u200b", "U+200B"), ("\\u202e", "U+202E"), ("\\ufeff", "U+FEFF"), ("\\u2066", "U+2066")],
)
def test_names_may_hold_nothing_that_does_not_show(
    compiled: Compile, escape: str, code: str
) -> None:
    manifest = f'{HEAD}metadata: {{name: gold}}\nspec: {{displayName: "Go{escape}ld"}}\n'
    assert told(compiled(manifest)) == [
        f'm.yaml:4:21: error: "displayName" has the invisible character {code} in it. Remove it.'
    ]


@pytest.mark.parametrize(
    "name", ["شرائح ذهبية", "👩\u200d👩\u200d👧 families", "Käufer", "می\u200cشود"]
)
def test_names_of_any_script_are_fine(compiled: Compile, name: str) -> None:
    manifest = f'{HEAD}metadata: {{name: gold}}\nspec: {{displayName: "{name}"}}\n'
    desired = compiled(manifest).desired
    assert desired is not None
    assert desired.segments[0].display_name == name


def test_a_number_of_too_many_digits_is_not_called_no_number(compiled: Compile) -> None:
    result = compiled(spec="{guards: {fromMembers: 9999999999999999999}}")
    assert told(result) == [
        'segctl.yaml:4:30: error: "fromMembers" has too many digits. Write at most 18.'
    ]
