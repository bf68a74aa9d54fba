"""The diagnostics of every folder in ``golden``, word for word."""

import json
from pathlib import Path
from typing import Any

import pytest

from segctl.manifests.compile import compile_files
from tests.manifests.manifest_kit import Golden

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def read_input(case: Path) -> dict[str, Any]:
    """Return the variables and the environment of a case."""
    path = case / "input.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


@pytest.mark.parametrize("case", CASES)
def test_a_workspace_has_exactly_these_problems(case: str, golden: Golden) -> None:
    folder = FOLDER / case
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.yaml"))}
    options = {"variables": {}, "environment": {}} | read_input(folder)
    compiled = compile_files(files, **options)
    text = "".join(f"{diagnostic}\n" for diagnostic in compiled.diagnostics)
    golden(folder / "expected.txt", text)
    assert compiled.desired is None
