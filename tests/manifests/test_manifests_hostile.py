from collections.abc import Callable

import pytest
import yaml

from segctl.manifests import yaml_reader as parsing
from segctl.manifests.compile import Compiled
from segctl.manifests.yaml_reader import MAX_BYTES, parse

pytestmark = pytest.mark.timeout(60)
"""Without the limits on aliases and depth, some of these documents never come to an end."""

Compile = Callable[..., Compiled]


@pytest.fixture(params=["libyaml", "PyYAML's own"])
def _both_parsers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = yaml.CSafeLoader if request.param == "libyaml" else yaml.SafeLoader
    monkeypatch.setattr(parsing, "LOADER", loader)


def laughs() -> bytes:
    first = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
    levels = (f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    return (first + "".join(levels)).encode()


def tower() -> bytes:
    """Nest nine levels in brackets and the rest through aliases."""
    levels = (f"a{i}: &a{i} {'[' * 9}*a{i - 1}{']' * 9}\n" for i in range(1, 300))
    return ("a0: &a0 [x]\n" + "".join(levels)).encode()


HOSTILE = {
    "a tower of aliases": (
        tower(),
        (
            "m.yaml:12:20: error: values are nested more than 100 levels deep here. "
            "A manifest needs fewer than ten."
        ),
    ),
    "a billion laughs": (
        laughs(),
        (
            "m.yaml:7:10: error: the aliases of this file repeat more than 1,000,000 values. "
            "Write long lists into a file source instead."
        ),
    ),
    "a cyclic alias": (
        b"a: &x [*x]",
        (
            "m.yaml:1:8: error: the alias *x stands inside of its own value. "
            "Remove it: the value would have no end."
        ),
    ),
    "an object of Python": (
        b"a: !!python/object/apply:os.system [echo]",
        (
            "m.yaml:1:4: error: the tag !!python/object/apply:os.system is not allowed. "
            "Only !!str is; a value in quotes is text without it."
        ),
    ),
    "endless brackets": (
        b"[" * 100_000,
        (
            "m.yaml:1:101: error: values are nested more than 100 levels deep here. "
            "A manifest needs fewer than ten."
        ),
    ),
    "endless indentation": (
        b"".join(b" " * i + b"a:\n" for i in range(500)),
        (
            "m.yaml:101:101: error: values are nested more than 100 levels deep here. "
            "A manifest needs fewer than ten."
        ),
    ),
    "a zero byte": (
        b"a: b\nc: \0",
        (
            "m.yaml:2:4: error: the character U+0000 stands here, which YAML does not allow. "
            "Remove it, or write it as an escape in double quotes."
        ),
    ),
    "a hidden line end": (
        "a: b\u2028c".encode(),
        (
            "m.yaml:1:5: error: the character U+2028 stands here, which YAML does not allow. "
            "Remove it, or write it as an escape in double quotes."
        ),
    ),
    "Latin-1": (
        "a: b\nc: é".encode("latin-1"),
        "m.yaml:2:4: error: the file is not in UTF-8. Save it as UTF-8.",
    ),
    "UTF-16": (
        "a: b".encode("utf-16"),
        "m.yaml: error: the file is in UTF-16, not in UTF-8. Save it as UTF-8.",
    ),
}


@pytest.mark.usefixtures("_both_parsers")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_one_diagnostic(name: str) -> None:
    content, expected = HOSTILE[name]
    assert [str(d) for d in parse("m.yaml", content).diagnostics] == [expected]


def test_two_hundred_megabytes_are_refused_unread() -> None:
    diagnostics = parse("m.yaml", bytes(MAX_BYTES + 1)).diagnostics
    assert [str(d) for d in diagnostics] == [
        (
            "m.yaml: error: the file has 64 MB; a manifest may have 64. "
            "Put the members into a file source (csv, parquet, txt) instead."
        )
    ]


def test_a_hundred_thousand_wrong_members_are_counted_and_not_listed(compiled: Compile) -> None:
    members = "".join("        - ~\n        - ' '\n" for _ in range(50_000))
    manifest = (
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: gold}\nspec:\n"
        f"  displayName: Gold\n  members:\n    - identities:\n{members}"
    )
    diagnostics = compiled(manifest).diagnostics
    assert len(diagnostics) == 22
    assert (
        sum(d.summary == "49,990 more of the same follow in this list." for d in diagnostics) == 2
    )


def test_a_thousand_wrong_names_among_as_many_segments_are_all_reported(
    compiled: Compile,
) -> None:
    segments = "".join(
        f"{{apiVersion: segctl/v1, kind: Segment, metadata: {{name: segment-{i}}},"
        f" spec: {{displayName: S{i}}}}}\n---\n"
        for i in range(1_000)
    )
    wrong = ", ".join(f"sgment-{i}" for i in range(1_000))
    membership = (
        "{apiVersion: segctl/v1, kind: Membership, metadata: {name: m},"
        f" spec: {{members: [], segments: [{wrong}]}}}}"
    )
    assert len(compiled(segments + membership).diagnostics) == 1_000
