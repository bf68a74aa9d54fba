"""The digest of a workspace identifies its content, not how it is written."""

from hypothesis import given
from hypothesis import strategies as st

from segctl.manifests.compile import compile_files
from tests.manifests import manifest_kit
from tests.manifests.manifest_kit import MEMBER_LIST, desired_state, segment

PROJECT = manifest_kit.PROJECT.encode()
GOLD = MEMBER_LIST.replace("identities:\n", "identities: [a, b]\n")
GOLD_REWRITTEN = """\
# The same content, written in another way.
spec: {members: [{identities: ["a", 'b']}], displayName: "Gold"}
metadata:
    name:   gold
kind: Segment
apiVersion: segctl/v1
"""
SILVER = segment("s", "displayName: S")


def digest(*documents: str, project: bytes = PROJECT, value: str = "x") -> str:
    files = {f"{i}.yaml": text.encode() for i, text in enumerate(documents)}
    files["segctl.yaml"] = project
    variables = {"as_of": value} if b"as_of" in project else {}
    return desired_state(compile_files(files, variables=variables, environment={})).digest


def test_a_digest_is_a_sha256_in_hexadecimal_digits() -> None:
    assert digest(GOLD).startswith("sha256:")
    assert len(digest(GOLD)) == 7 + 64


def test_formatting_files_and_order_do_not_change_the_digest() -> None:
    assert digest(GOLD, SILVER) == digest(f"{SILVER}---\n{GOLD_REWRITTEN}")


def test_the_value_of_a_variable_does_not_change_the_digest() -> None:
    project = PROJECT + b"spec: {variables: {as_of: {}}}\n"
    named = GOLD.replace("Gold", "Gold ${var.as_of}")
    assert digest(named, project=project, value="x") == digest(named, project=project, value="y")


@given(st.sampled_from(["gold", "Gold", "[a, b]"]), st.sampled_from(["golden", "[b, a]", "[a]"]))
def test_any_change_of_content_changes_the_digest(old: str, new: str) -> None:
    changed = GOLD.replace(old, new) if (old == "[a, b]") == new.startswith("[") else SILVER
    assert digest(changed) != digest(GOLD)


def test_a_setting_of_the_project_changes_the_digest() -> None:
    assert digest(project=PROJECT + b"spec: {guards: {maxDestroys: 4}}\n") != digest()
