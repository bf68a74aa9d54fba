"""Mistakes that newcomers make in the first hour, and their messages."""

import pytest

from tests.manifests.manifest_kit import HEAD, Compile, desired_state, messages


@pytest.mark.parametrize("metadata", ["{name: ${var.x}}", "{name: gold-${var.x}, labels: {}}"])
def test_a_variable_in_a_flow_mapping_needs_quotes(compiled: Compile, metadata: str) -> None:
    (message,) = messages(compiled(f"{HEAD}metadata: {metadata}\n"))
    assert message.endswith(
        "error: invalid YAML: expected ',' or '}'. "
        "Inside {…} or […], put a value that contains ${…} in quotes."
    )


@pytest.mark.parametrize(
    ("escape", "code"),
    [("\\u200b", "U+200B"), ("\\u202e", "U+202E"), ("\\ufeff", "U+FEFF"), ("\\u2066", "U+2066")],
)
def test_an_invisible_character_in_a_name_is_an_error(
    compiled: Compile, escape: str, code: str
) -> None:
    manifest = f'{HEAD}metadata: {{name: gold}}\nspec: {{displayName: "Go{escape}ld"}}\n'
    assert messages(compiled(manifest)) == [
        (
            f'm.yaml:4:21: error: "displayName" contains the invisible character {code}. '
            "Remove the character."
        )
    ]


@pytest.mark.parametrize(
    "name", ["شرائح ذهبية", "👩\u200d👩\u200d👧 families", "Käufer", "می\u200cشود"]
)
def test_names_in_any_script_are_valid(compiled: Compile, name: str) -> None:
    manifest = f'{HEAD}metadata: {{name: gold}}\nspec: {{displayName: "{name}"}}\n'
    assert desired_state(compiled(manifest)).segments[0].display_name == name


def test_a_number_with_too_many_digits_gets_its_own_message(compiled: Compile) -> None:
    result = compiled(spec="{guards: {fromMembers: 9999999999999999999}}")
    assert messages(result) == [
        'segctl.yaml:4:30: error: "fromMembers" has too many digits. Write at most 18 digits.'
    ]
