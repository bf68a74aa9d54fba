"""The commands and the plan that the READMEs show, run as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.demo import await_answer, free_port

ROOT = Path(__file__).parents[2]


def blocks(readme: Path, language: str) -> list[str]:
    """Give the fenced blocks of a README in this language."""
    text = readme.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def block_with(readme: Path, command: str) -> str:
    """Give the one shell block in which this command stands."""
    (found,) = (block for block in blocks(readme, "sh") if command in block)
    return found


@contextmanager
def service_of(block: str, folder: Path) -> Iterator[str]:
    """Run the block that starts the emulator, on a free port; give its address."""
    port = free_port()
    script = block.replace("segctl emulator", f"exec segctl emulator --port {port}")
    log = folder / "emulator.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-euc", script], cwd=folder, env=environment(), stdout=output, stderr=output
        )
        try:
            await_answer(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def environment() -> dict[str, str]:
    """Give this process's variables with the program under test first in the path."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def copied(folder: Path) -> Path:
    """Make a tree like a clone's: the examples, and the virtual environment as ``.venv``."""
    ignored = shutil.ignore_patterns("segctl.state*", "__pycache__")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.mark.parametrize(
    ("readme", "start"),
    [
        ("README.md", "."),
        ("examples/quickstart/README.md", "examples/quickstart"),
        ("examples/cdnow/README.md", "examples/cdnow"),
        ("examples/spring-sale/README.md", "examples/spring-sale"),
    ],
)
def test_the_commands_of_a_readme_run_as_they_stand(
    tmp_path: Path, readme: str, start: str
) -> None:
    tree = copied(tmp_path)
    with service_of(block_with(ROOT / readme, "segctl emulator"), tree) as url:
        run = subprocess.run(
            ["bash", "-euc", block_with(ROOT / readme, "segctl apply --auto-approve")],
            cwd=tree / start,
            env={**environment(), "CLEVERTAP_BASE_URL": url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    last_plan = run.stdout.rpartition("Plan: ")[2]
    assert "No changes." in last_plan


def test_the_plan_in_the_readme_is_the_plan_of_the_quickstart(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks(ROOT / "README.md", "text") if "Plan: " in block)
    plan = subprocess.run(
        ["segctl", "plan"],
        cwd=copied(tmp_path) / "examples" / "quickstart",
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert shown.strip() == plan.stdout.strip()
