from copy import deepcopy
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.diagnostics import Severity
from segctl.manifests.compile import compile_files

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
    lambda below: (
        st.lists(below, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "file", "sql", "x"]), below, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Give every container with every key or position in it."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *places(value[key])]
    return found


def below(documents: dict[str, dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [place for document in documents.values() for place in places(document)]


def compiled(documents: dict[str, dict[str, Any]]) -> Any:
    texts = {
        kind: yaml.safe_dump({"apiVersion": "segctl/v1", "kind": kind, **document}).encode()
        for kind, document in documents.items()
    }
    texts["segctl.yaml"] = texts.pop("Project")
    return compile_files(texts, variables={}, environment={})


def test_the_documents_that_are_broken_below_are_good() -> None:
    assert compiled(VALID).diagnostics == ()


@given(st.data())
def test_a_value_in_the_wrong_place_is_a_diagnostic_in_our_own_words(data: st.DataObject) -> None:
    documents = deepcopy(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(below(documents)), label="place")
        container[key] = data.draw(anything, label="value")
    result = compiled(documents)
    errors = [d for d in result.diagnostics if d.severity is Severity.ERROR]
    assert bool(errors) == (result.desired is None)
    for diagnostic in result.diagnostics:
        assert diagnostic.location is not None
        assert "nput should" not in str(diagnostic)
        assert "{name}" not in str(diagnostic)
        assert diagnostic.summary.endswith(".")
        assert diagnostic.detail == "" or diagnostic.detail.endswith((".", "?"))
