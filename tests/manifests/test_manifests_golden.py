import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segctl.manifests.compile import compile_files

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def given(case: Path) -> dict[str, Any]:
    path = case / "input.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


@pytest.mark.parametrize("case", CASES)
def test_every_problem_of_a_workspace_is_reported_in_these_words(
    case: str, golden: Callable[[Path, str], None]
) -> None:
    folder = FOLDER / case
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.yaml"))}
    options = {"variables": {}, "environment": {}} | given(folder)
    compiled = compile_files(files, **options)
    text = "".join(f"{diagnostic}\n" for diagnostic in compiled.diagnostics)
    golden(folder / "expected.txt", text)
    assert compiled.desired is None
