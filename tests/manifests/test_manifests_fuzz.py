"""Any wrong value in a valid workspace is a diagnostic in segctl's own words."""

from copy import deepcopy
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.diagnostics import Severity
from segctl.manifests.compile import CompileResult, compile_files

VALID: dict[str, dict[str, Any]] = {
    "Project": {
        "metadata": {"name": "acme"},
        "spec": {
            "provider": {"region": "in1", "concurrency": 3},
            "variables": {"as_of": {"default": "x"}},
            "guards": {"maxDestroys": 5, "allowEmpty": False},
            "allowFolders": ["a"],
        },
    },
    "Segment": {
        "metadata": {"name": "gold", "labels": {"team": "growth"}},
        "spec": {
            "displayName": "Gold ${var.as_of}",
            "members": [
                {"identities": ["a"]},
                {"file": {"path": "a.csv", "onInvalid": "skip", "maxInvalidPercent": 5}},
                {"query": {"sql": "select $as_of"}},
            ],
            "exclude": [{"guids": ["g"]}],
            "lifecycle": {"preventDestroy": True},
        },
    },
    "Membership": {
        "metadata": {"name": "m"},
        "spec": {"segments": ["gold", "t"], "members": [{"identities": ["a"]}]},
    },
    "SegmentTable": {
        "metadata": {"name": "t"},
        "spec": {
            "source": {"file": {"path": "a.csv"}},
            "segmentColumn": "segment",
            "segments": {"t": {"displayName": "T", "guards": {"fromMembers": 1}}},
        },
    },
}

scalars = st.none() | st.booleans() | st.integers() | st.text("ab${}.var ", max_size=6)
anything = st.recursive(
    scalars,
    lambda child: (
        st.lists(child, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "file", "sql", "x"]), child, max_size=2)
    ),
    max_leaves=4,
)


def slots(value: Any) -> list[tuple[Any, Any]]:
    """Return every container in a value, with each of its keys or indexes."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *slots(value[key])]
    return found


def compile_documents(documents: dict[str, dict[str, Any]]) -> CompileResult:
    texts = {
        kind: yaml.safe_dump({"apiVersion": "segctl/v1", "kind": kind, **document}).encode()
        for kind, document in documents.items()
    }
    texts["segctl.yaml"] = texts.pop("Project")
    return compile_files(texts, variables={}, environment={})


def test_the_documents_are_valid_before_they_are_changed() -> None:
    assert compile_documents(VALID).diagnostics == ()


@given(st.data())
def test_a_wrong_value_is_a_diagnostic_in_plain_words(data: st.DataObject) -> None:
    documents = deepcopy(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        all_slots = [slot for document in documents.values() for slot in slots(document)]
        container, key = data.draw(st.sampled_from(all_slots), label="slot")
        container[key] = data.draw(anything, label="value")
    result = compile_documents(documents)
    errors = [d for d in result.diagnostics if d.severity is Severity.ERROR]
    assert bool(errors) == (result.desired is None)
    for diagnostic in result.diagnostics:
        assert diagnostic.location is not None
        assert "nput should" not in str(diagnostic)
        assert "{name}" not in str(diagnostic)
        assert diagnostic.summary.endswith(".")
        assert diagnostic.detail == "" or diagnostic.detail.endswith((".", "?"))
