"""The READMEs: their commands run, and the plan that they show is the real one."""

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
    """Return the fenced blocks of a README in this language."""
    text = readme.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def block_with(readme: Path, command: str) -> str:
    """Return the only shell block of a README that contains this command."""
    (match,) = (block for block in blocks(readme, "sh") if command in block)
    return match


@contextmanager
def running_emulator(block: str, folder: Path) -> Iterator[str]:
    """Run the block that starts the emulator, but on a free port. Yields its URL."""
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
    """Return this process's environment, with the segctl under test first in ``PATH``."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def copy_examples(folder: Path) -> Path:
    """Copy the examples into a folder like a clone, with the virtual environment as ``.venv``."""
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
def test_the_commands_of_a_readme_run(tmp_path: Path, readme: str, start: str) -> None:
    tree = copy_examples(tmp_path)
    with running_emulator(block_with(ROOT / readme, "segctl emulator"), tree) as url:
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


def test_the_readme_shows_the_plan_of_the_quickstart(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks(ROOT / "README.md", "text") if "Plan: " in block)
    plan = subprocess.run(
        ["segctl", "plan"],
        cwd=copy_examples(tmp_path) / "examples" / "quickstart",
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert shown.strip() == plan.stdout.strip()
