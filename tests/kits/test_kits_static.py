"""What can be read in the kits: pins, permissions, and no text of others in a script."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segctl import __version__
from tests.kits.runners import ACTION, PIPELINE, ROOT, WORKFLOW, load_yaml
from tests.program import ENTRY

WORKFLOWS = [WORKFLOW, *sorted((ROOT / ".github/workflows").glob("*.yml"))]
JOBS = load_yaml(WORKFLOW)["jobs"]
HOOKS = load_yaml(ROOT / ".pre-commit-hooks.yaml")
CHOSEN_BY_OTHERS = re.compile("TITLE|DESCRIPTION|MESSAGE|HEAD_REF|REF_NAME|BRANCH_NAME|_AUTHOR")


def scripts(value: Any) -> Iterator[str]:
    """Yield what a shell runs: ``run``, ``script`` and ``before_script`` anywhere."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("run", "script", "before_script"):
                yield "\n".join(inner) if isinstance(inner, list) else inner
            else:
                yield from scripts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from scripts(inner)


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_with_its_version(path: Path) -> None:
    used = re.findall(r"^\s*-? ?uses: (.*)$", path.read_text(), re.MULTILINE)
    assert used or path == ACTION
    for line in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", [ACTION, PIPELINE, *WORKFLOWS], ids=lambda path: path.name)
def test_no_text_of_a_request_is_part_of_a_script(path: Path) -> None:
    found = list(scripts(load_yaml(path)))
    assert found or path == WORKFLOW
    for script in found:
        assert "${{" not in script
        assert not CHOSEN_BY_OTHERS.search(script.replace("GITHUB_REF_NAME", "tag"))


def test_jobs_ask_for_the_least_and_only_the_plan_writes_to_a_request() -> None:
    assert load_yaml(WORKFLOW)["permissions"] == {}
    read, write = "read", "write"
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "validate": {"contents": read},
        "plan": {"contents": read, "pull-requests": write, "id-token": write},
        "apply": {"contents": read, "pull-requests": read, "issues": write, "id-token": write},
        "scheduled-apply": {"contents": read, "issues": write, "id-token": write},
    }


def test_only_jobs_on_main_have_the_credentials_of_the_account() -> None:
    with_secrets = {name for name, job in JOBS.items() if "secrets." in str(job)}
    with_environment = {name for name, job in JOBS.items() if "environment" in job}
    assert with_secrets == with_environment == {"apply", "scheduled-apply"}
    assert set(load_yaml(WORKFLOW)["on"]) == {"pull_request", "push", "schedule"}


def test_no_checkout_keeps_the_token() -> None:
    steps = [step for job in JOBS.values() for step in job["steps"]]
    checkouts = [step for step in steps if "actions/checkout" in step["uses"]]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert not any("ref" in step["with"] for step in checkouts)


def test_applies_queue_and_no_plan_is_in_their_group() -> None:
    groups = {name: job["concurrency"]["group"] for name, job in JOBS.items()}
    assert groups["apply"] == groups["scheduled-apply"] == "segments-apply"
    assert "segments-apply" not in (groups["plan"], groups["validate"])
    for name in ("apply", "scheduled-apply"):
        assert JOBS[name]["concurrency"]["cancel-in-progress"] is False
        assert JOBS[name]["concurrency"]["queue"] == "max"
    pipeline = load_yaml(PIPELINE)
    queued = {name for name, job in pipeline.items() if "resource_group" in job}
    assert queued == {"segctl-apply", "segctl-scheduled-apply"}
    assert not any(pipeline[name]["interruptible"] for name in queued)


def test_the_kits_are_of_this_version() -> None:
    assert load_yaml(PIPELINE)["variables"]["SEGCTL_VERSION"] == __version__
    used = re.findall(r"acme/segctl@\S+ # v(\S+)", WORKFLOW.read_text())
    assert set(used) == {__version__}


def test_segctl_is_installed_with_pinned_versions_and_without_the_checkout_on_its_path() -> None:
    [install] = [s for s in scripts(load_yaml(ACTION)) if "pip install" in s]
    assert 'PIP_CONSTRAINT="$GITHUB_ACTION_PATH/constraints.txt"' in install
    for script in (install, *load_yaml(PIPELINE)[".segctl"]["before_script"]):
        for line in script.splitlines():
            assert "-m " not in line or " -I -m " in line, line


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
@pytest.mark.parametrize("folder", ["", "crm"])
def test_a_hook_runs_in_the_root_and_in_a_folder(
    hook: dict[str, Any], folder: str, tmp_path: Path
) -> None:
    workspace = tmp_path / folder
    workspace.mkdir(exist_ok=True)
    (workspace / "segctl.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: x}\n"
    )
    (workspace / "gold.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nspec:\n  displayName: Gold\n"
        "  members: [{identities: [a@example.com]}]\nmetadata: {name: gold}\n"
    )
    program, *words = shlex.split(hook["entry"])
    assert (program, hook["language"]) == ("segctl", "python")
    options = ["-C", folder] if folder else []
    if hook["pass_filenames"]:
        (tmp_path / "chart.yaml").write_text("{{ helm }}: {\n")
        options = ["chart.yaml", f"{folder or '.'}/segctl.yaml", f"{folder or '.'}/gold.yaml"]
    done = subprocess.run([*ENTRY, *words, *options], cwd=tmp_path, check=False)
    assert done.returncode == 0
    is_rewritten = (workspace / "gold.yaml").read_text().index("metadata") < 60
    assert is_rewritten is (hook["id"] == "segctl-fmt")


def test_requests_and_merges_are_filtered_by_the_same_paths() -> None:
    events = load_yaml(WORKFLOW)["on"]
    assert events["pull_request"]["paths"] == events["push"]["paths"]
    pipeline = load_yaml(PIPELINE)
    names = ("segctl-validate", "segctl-plan", "segctl-apply")
    found = {tuple(rule["changes"]) for name in names for rule in pipeline[name]["rules"]}
    assert found == {(f"{pipeline['variables']['SEGCTL_WORKSPACE']}/**/*",)}
