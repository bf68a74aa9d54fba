from hypothesis import given
from hypothesis import strategies as st

from segctl.manifests.compile import compile_files

PROJECT = b"apiVersion: segctl/v1\nkind: Project\nmetadata: {name: acme}\n"
GOLD = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}
spec:
  displayName: Gold
  members:
    - identities: [a, b]
"""
GOLD_ELSEWHERE = """\
# The same, otherwise written.
spec: {members: [{identities: ["a", 'b']}], displayName: "Gold"}
metadata:
    name:   gold
kind: Segment
apiVersion: segctl/v1
"""
SILVER = "{apiVersion: segctl/v1, kind: Segment, metadata: {name: s}, spec: {displayName: S}}\n"


def digest(*documents: str, project: bytes = PROJECT, value: str = "x") -> str:
    files = {f"{i}.yaml": text.encode() for i, text in enumerate(documents)}
    files["segctl.yaml"] = project
    given = {"as_of": value} if b"as_of" in project else {}
    compiled = compile_files(files, variables=given, environment={})
    assert compiled.desired is not None, compiled.diagnostics
    return compiled.desired.digest


def test_a_digest_looks_like_one() -> None:
    assert digest(GOLD).startswith("sha256:")
    assert len(digest(GOLD)) == 7 + 64


def test_formatting_files_and_order_leave_the_digest_alone() -> None:
    assert digest(GOLD, SILVER) == digest(f"{SILVER}---\n{GOLD_ELSEWHERE}")


def test_the_value_of_a_variable_leaves_the_digest_alone() -> None:
    project = PROJECT + b"spec: {variables: {as_of: {}}}\n"
    named = GOLD.replace("Gold", "Gold ${var.as_of}")
    assert digest(named, project=project, value="x") == digest(named, project=project, value="y")


@given(st.sampled_from(["gold", "Gold", "[a, b]"]), st.sampled_from(["golden", "[b, a]", "[a]"]))
def test_any_change_of_content_changes_the_digest(old: str, new: str) -> None:
    changed = GOLD.replace(old, new) if (old == "[a, b]") == new.startswith("[") else SILVER
    assert digest(changed) != digest(GOLD)


def test_a_setting_is_content() -> None:
    assert digest(project=PROJECT + b"spec: {guards: {maxDestroys: 4}}\n") != digest()
