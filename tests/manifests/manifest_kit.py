"""Texts of manifests, and a count of function calls, for the tests of this folder."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from segctl.manifests.compile import CompileResult
from segctl.manifests.desired import DesiredState

Golden = Callable[[Path, str], None]
Compile = Callable[..., CompileResult]

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: acme}\n"
HEAD = "apiVersion: segctl/v1\nkind: Segment\n"
MEMBER_LIST = (
    f"{HEAD}metadata: {{name: gold}}\nspec:\n  displayName: Gold\n  members:\n    - identities:\n"
)
"""A Segment up to the first item of its list of identities, indented by eight spaces."""


def segment(name: str = "gold", spec: str = "displayName: Gold") -> str:
    """Return a Segment on one line."""
    return (
        f"{{apiVersion: segctl/v1, kind: Segment, metadata: {{name: {name}}}, spec: {{{spec}}}}}\n"
    )


def desired_state(result: CompileResult) -> DesiredState:
    """Return the desired state of a workspace that must compile."""
    assert result.desired is not None, result.diagnostics
    return result.desired


def messages(result: CompileResult) -> list[str]:
    """Return the diagnostics as text."""
    return [str(diagnostic) for diagnostic in result.diagnostics]


def count_calls(function: Callable[[], object]) -> int:
    """Return how many Python functions are called. Unlike time, it is the same in every run."""
    calls = 0

    def profile(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return calls
