"""The member columns of a plan are written only if they are needed."""

from pathlib import Path

import pytest

from segctl.core.resources import ResourceLimits
from segctl.manifests.workspace import load_workspace
from segctl.planning.planner import PlanOptions, PlanPurpose, build_plan
from segctl.session.engine_session import engine_session
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
def test_columns_are_written_for_a_plan_to_save_or_send(
    purpose: PlanPurpose, manifests: str, written: bool, tmp_path: Path
) -> None:
    (tmp_path / "segctl.yaml").write_text(PROJECT)
    (tmp_path / "segments.yaml").write_text(manifests)
    desired = load_workspace(tmp_path, variables={}, environment={}).desired
    assert desired
    with engine_session(ResourceLimits()) as session:
        bundle = build_plan(
            desired,
            State(lineage="l", serial=0),
            PlanOptions(account=None, host="in1.api.clevertap.com"),
            engine=session.open_engine,
            recorded_files={},
            root=tmp_path,
            scratch=session.scratch,
            environment={},
            purpose=purpose,
        )
        assert bundle.delta.exists() == written
