"""Values are text exactly as written, and every value knows its position."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.identity import find_problem
from segctl.manifests import yaml_reader
from segctl.manifests.compile import CompileResult
from segctl.manifests.desired import InlineSource, MemberLoad
from segctl.manifests.yaml_reader import parse_file
from segctl.manifests.yaml_tree import lookup
from tests.manifests.manifest_kit import MEMBER_LIST, Compile, desired_state

AS_WRITTEN = (
    "0012345 NO 190:20:30 +919812345678 2024-01-02 1e3 0x1F 1_000 .5 true 12:30:45 0o17 -5".split()
)


def members(result: CompileResult) -> tuple[str, ...]:
    (load,) = desired_state(result).loads
    assert isinstance(load, MemberLoad)
    assert isinstance(load.source, InlineSource)
    return load.source.values


def test_yaml_never_turns_a_member_into_something_else(compiled: Compile) -> None:
    lines = "".join(f"        - {value}\n" for value in AS_WRITTEN)
    assert members(compiled(MEMBER_LIST + lines)) == tuple(AS_WRITTEN)


def test_names_and_ids_are_text_as_written_too(compiled: Compile) -> None:
    result = compiled(
        "{apiVersion: segctl/v1, kind: Segment, metadata: {name: 0012, labels: {on: NO}},"
        " spec: {displayName: 1e3, customerSegmentId: 0x10}}"
    )
    (segment,) = desired_state(result).segments
    assert segment.address == "segment.0012"
    assert segment.labels == {"on": "NO"}
    assert (segment.display_name, segment.customer_segment_id) == ("1e3", "0x10")


@given(st.lists(st.text().filter(lambda v: not find_problem(v) and "${" not in v), min_size=1))
def test_any_valid_identity_in_quotes_is_read_exactly(values: list[str]) -> None:
    text = yaml.safe_dump({"identities": values}, default_style='"')
    (document,) = parse_file("m.yaml", text.encode()).documents
    assert lookup(document.data, "identities") == values


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
@given(text=st.text("ab \n-:[]{}'\"#&*!|>?,%@`\t01~", max_size=40))
def test_no_text_makes_the_parser_raise(loader: type, text: str) -> None:
    before, yaml_reader.LOADER = yaml_reader.LOADER, loader
    try:
        parsed = parse_file("m.yaml", text.encode())
    finally:
        yaml_reader.LOADER = before
    assert all(d.location and d.location.file == "m.yaml" for d in parsed.diagnostics)


@given(st.binary(max_size=60))
def test_no_bytes_make_the_parser_raise(content: bytes) -> None:
    assert len(parse_file("m.yaml", content).diagnostics) <= 1


def test_a_byte_order_mark_and_windows_line_ends_are_valid(compiled: Compile) -> None:
    text = (MEMBER_LIST + "        - a@example.com\n").replace("\n", "\r\n")
    assert members(compiled(b"\xef\xbb\xbf" + text.encode())) == ("a@example.com",)


def test_members_may_be_an_alias_of_another_list_in_the_document(compiled: Compile) -> None:
    manifest = (
        MEMBER_LIST.replace("identities:", "identities: &all") + "        - a@example.com\n"
        "  exclude:\n    - identities: *all\n"
    )
    loads = desired_state(compiled(manifest)).loads
    assert [load.source.values for load in loads] == [("a@example.com",)] * 2  # type: ignore[union-attr]  # both are inline


def test_every_member_knows_its_line_and_column() -> None:
    text = MEMBER_LIST + "        - a\n        # a comment\n        -   'b'\n        - \"c\"\n"
    (document,) = parse_file("m.yaml", text.encode()).documents
    path = ("spec", "members", 0, "identities")
    locations = [str(document.locate((*path, i))) for i in range(3)]
    assert locations == ["m.yaml:8:11", "m.yaml:10:13", "m.yaml:11:11"]


def test_documents_of_other_tools_are_passed_over_and_listed(compiled: Compile) -> None:
    result = compiled("---\n---\nkind: Pod\nspec: !Ref x\n---\n- a list\n")
    assert result.desired is not None
    assert result.diagnostics == ()
    assert result.passed_over == ("m.yaml:3", "m.yaml:6")
