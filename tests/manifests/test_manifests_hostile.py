"""Input that is made to hang or crash a run, or that is only very large."""

import pytest
import yaml

from segctl.manifests import yaml_reader
from segctl.manifests.yaml_reader import MAX_BYTES, parse_file
from tests.manifests.manifest_kit import (
    MEMBER_LIST,
    Compile,
    count_calls,
    desired_state,
    messages,
    segment,
)

pytestmark = pytest.mark.timeout(60)
"""Without the limits on aliases and depth, parsing some of these documents would never end."""


@pytest.fixture(params=["libyaml", "PyYAML's own"])
def _both_parsers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = yaml.CSafeLoader if request.param == "libyaml" else yaml.SafeLoader
    monkeypatch.setattr(yaml_reader, "LOADER", loader)


def billion_laughs() -> bytes:
    first = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
    levels = (f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    return (first + "".join(levels)).encode()


def alias_tower() -> bytes:
    """Nest nine levels in brackets and the rest through aliases."""
    levels = (f"a{i}: &a{i} {'[' * 9}*a{i - 1}{']' * 9}\n" for i in range(1, 300))
    return ("a0: &a0 [x]\n" + "".join(levels)).encode()


TOO_DEEP = (
    "error: values are nested more than 100 levels deep. "
    "Reduce the nesting; a manifest needs fewer than ten levels."
)
HOSTILE = {
    "a tower of aliases": (alias_tower(), f"m.yaml:12:20: {TOO_DEEP}"),
    "a billion laughs": (
        billion_laughs(),
        (
            "m.yaml:7:10: error: the aliases of this file repeat more than 1,000,000 values. "
            "Move long lists to a member file and use a file source."
        ),
    ),
    "a cyclic alias": (
        b"a: &x [*x]",
        (
            "m.yaml:1:8: error: the alias *x is part of the value that it refers to. "
            "Remove the alias: the value would never end."
        ),
    ),
    "endless brackets": (b"[" * 100_000, f"m.yaml:1:101: {TOO_DEEP}"),
    "endless indentation": (
        b"".join(b" " * i + b"a:\n" for i in range(500)),
        f"m.yaml:101:101: {TOO_DEEP}",
    ),
    "a zero byte": (
        b"a: b\nc: \0",
        (
            "m.yaml:2:4: error: a manifest cannot contain the character U+0000. "
            'Remove it, or write it as "\\u0000" in double quotes.'
        ),
    ),
    "a hidden line end": (
        "a: b\u2028c".encode(),
        (
            "m.yaml:1:5: error: a manifest cannot contain the character U+2028. "
            'Remove it, or write it as "\\u2028" in double quotes.'
        ),
    ),
    "Latin-1": (
        "a: b\nc: é".encode("latin-1"),
        "m.yaml:2:4: error: the file is not valid UTF-8. Save the file as UTF-8.",
    ),
    "UTF-16": (
        "a: b".encode("utf-16"),
        "m.yaml: error: the file is encoded as UTF-16, not UTF-8. Save the file as UTF-8.",
    ),
}


@pytest.mark.usefixtures("_both_parsers")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_one_diagnostic_and_little_work(name: str) -> None:
    content, expected = HOSTILE[name]
    assert [str(d) for d in parse_file("m.yaml", content).diagnostics] == [expected]
    assert count_calls(lambda: parse_file("m.yaml", content)) < 1_000_000


def test_a_file_over_the_size_limit_is_not_parsed() -> None:
    diagnostics = parse_file("m.yaml", bytes(MAX_BYTES + 1)).diagnostics
    assert [str(d) for d in diagnostics] == [
        (
            "m.yaml: error: the file has 65 MB; the limit for a manifest is 64 MB. "
            "Move the members to a CSV, Parquet or text file and use a file source."
        )
    ]


def test_a_hundred_thousand_wrong_members_are_counted_and_not_listed(compiled: Compile) -> None:
    members = "".join("        - ~\n        - ' '\n" for _ in range(50_000))
    summaries = [d.summary for d in compiled(MEMBER_LIST + members).diagnostics]
    assert len(summaries) == 22
    assert summaries.count("49,990 more problems like this one follow.") == 2


def test_each_member_of_a_long_list_costs_few_calls(compiled: Compile) -> None:
    members = "".join(f"        - user{i}@example.com\n" for i in range(20_000))
    desired_state(compiled(MEMBER_LIST + members))
    assert count_calls(lambda: compiled(MEMBER_LIST + members)) < 15 * 20_000


def test_of_a_thousand_wrong_names_ten_get_a_suggestion(compiled: Compile) -> None:
    segments = [segment(f"segment-{i}", f"displayName: S{i}") for i in range(1_000)]
    wrong = ", ".join(f"sgment-{i}" for i in range(1_000))
    membership = (
        "{apiVersion: segctl/v1, kind: Membership, metadata: {name: m},"
        f" spec: {{members: [], segments: [{wrong}]}}}}"
    )
    found = messages(compiled("---\n".join([*segments, membership])))
    assert len(found) == 1_000
    assert sum("Did you mean" in message for message in found) == 10
