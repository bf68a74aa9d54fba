"""The formatter moves lines and never changes a value."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segctl.manifests.formatter import format_file
from segctl.manifests.yaml_reader import parse_file
from tests.manifests.manifest_kit import Golden

FOLDER = Path(__file__).parent / "golden_format"
CASES = sorted(path.name for path in FOLDER.glob("*.yaml"))


def formatted(text: str) -> str:
    result = format_file("m.yaml", text.encode())
    assert result.diagnostics == ()
    assert result.text is not None
    return result.text


@pytest.mark.parametrize("case", CASES)
def test_a_file_becomes_its_canonical_form(case: str, golden: Golden) -> None:
    text = (FOLDER / case).read_text(encoding="utf-8")
    golden(FOLDER / case.replace(".yaml", ".expected"), formatted(text))


@pytest.mark.parametrize("case", CASES)
def test_formatting_again_changes_nothing(case: str) -> None:
    once = formatted((FOLDER / case).read_text(encoding="utf-8"))
    assert formatted(once) == once


@pytest.mark.parametrize("case", CASES)
def test_every_comment_and_value_survives(case: str) -> None:
    text = (FOLDER / case).read_text(encoding="utf-8")
    after = formatted(text)
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    assert sorted(c for c in comments if c not in after) == []
    assert documents(text) == documents(after)


def documents(text: str) -> list[Any]:
    return [document.data for document in parse_file("m.yaml", text.encode()).documents]


values = st.text("ab#:-'\" \n\\{}[]", max_size=12)
keys = st.text("ab'- ", min_size=1, max_size=5)
sources = st.one_of(
    st.fixed_dictionaries({"guids": st.lists(values, max_size=3)}),
    st.fixed_dictionaries({"file": st.fixed_dictionaries({"column": values, "path": values})}),
)
manifests = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"labels": st.dictionaries(keys, values, max_size=3), "name": values}
        ),
        "spec": st.fixed_dictionaries(
            {
                "members": st.lists(sources, max_size=3),
                "displayName": values,
                "unknown": st.lists(st.lists(values, max_size=2), max_size=2),
            }
        ),
        "kind": st.just("Segment"),
        "apiVersion": st.just("segctl/v1"),
    }
)


@given(manifests, st.integers(2, 7), st.sampled_from(["'", '"', None]), st.integers(10, 80))
def test_formatting_never_changes_a_value(
    manifest: dict[str, Any], indent: int, style: str | None, width: int
) -> None:
    text = yaml.safe_dump(
        manifest, indent=indent, default_style=style, width=width if style else 1_000
    )
    once = formatted(text)
    assert documents(once) == documents(text)
    assert formatted(once) == once


@given(manifests, st.integers(2, 7), st.sampled_from(["|", ">"]))
def test_block_scalars_and_explicit_keys_keep_their_values(
    manifest: dict[str, Any], indent: int, style: str
) -> None:
    text = yaml.safe_dump(manifest, indent=indent, default_style=style)
    after = format_file("m.yaml", text.encode()).text
    assert after is not None
    assert documents(after) == documents(text)


def test_documents_of_other_tools_stay_as_they_are() -> None:
    text = "kind:   Pod\nspec:\n      - a\n"
    assert formatted(text) == text


@pytest.mark.parametrize("content", [b"", b"a: 1\r\nb:  2", b"\xef\xbb\xbfa: 1\n", b"# a\n\n\n"])
def test_a_file_without_manifests_keeps_every_byte(content: bytes) -> None:
    result = format_file("values.yaml", content)
    assert result.text is not None
    assert result.text.encode() == content


def test_a_file_with_errors_is_not_formatted() -> None:
    result = format_file("m.yaml", b"a: [b\n")
    assert result.text is None
    assert [d.code for d in result.diagnostics] == ["syntax"]


@pytest.mark.parametrize(
    "notation",
    [
        "spec:\n  ? displayName\n  : Gold\n",
        "spec: &s\n  displayName:\n    Gold\n",
        "spec:\n  &s\n  displayName: Gold\n",
        "spec:\n  members:\n  -\n    a\n",
        'spec:\n  displayName: "a\\ \n    b"\n',
    ],
)
def test_unsupported_notation_stays_as_it_is_with_a_warning(notation: str) -> None:
    text = f"apiVersion: segctl/v1\nkind:   Segment\nmetadata: {{name: a}}\n{notation}"
    result = format_file("m.yaml", text.encode())
    assert result.text == text
    assert [str(d) for d in result.diagnostics] == [
        (
            "m.yaml: warning: fmt cannot format the notation of this file and leaves it as it is. "
            "The usual reasons are anchors on lines of their own and explicit keys (?)."
        )
    ]


def test_a_document_in_braces_stays_as_it_is() -> None:
    text = "{kind:  Segment, apiVersion:   segctl/v1}\n"
    assert formatted(text) == text
