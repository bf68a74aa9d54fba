"""The member columns of a plan are written where somebody is going to read them."""

from pathlib import Path

import pytest

from segctl.core.resources import ResourceLimits
from segctl.manifests.workspace import load
from segctl.planning.planner import PlanOptions, PlanPurpose, build_plan
from segctl.session.context import engine_session
from segctl.state.model import State

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: shop}\n"
SEGMENT = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}
spec:
  displayName: Gold
  members:
    - identities: [ada]
"""


@pytest.mark.parametrize(
    ("purpose", "manifests", "written"),
    [
        ("show", SEGMENT, False),
        ("send", SEGMENT, True),
        ("save", SEGMENT, True),
        ("send", "", False),
        ("save", "", True),
    ],
)
def test_columns_are_written_to_be_saved_or_sent(
    purpose: PlanPurpose, manifests: str, written: bool, tmp_path: Path
) -> None:
    (tmp_path / "segctl.yaml").write_text(PROJECT)
    (tmp_path / "segments.yaml").write_text(manifests)
    desired = load(tmp_path, variables={}, environment={}).desired
    assert desired
    with engine_session(ResourceLimits()) as at:
        made = build_plan(
            desired,
            State(lineage="l", serial=0),
            PlanOptions(account=None, host="in1.api.clevertap.com"),
            engine=at.engine,
            recorded_files={},
            root=tmp_path,
            scratch=at.scratch,
            environment={},
            purpose=purpose,
        )
        assert [made.delta.exists(), made.batches.exists()] == [written, written]
