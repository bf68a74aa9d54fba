"""What a CI job gets besides the log: annotations, a code quality report, the step summary."""

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segctl.cli.main import execute
from segctl.core.git import path_in_repository
from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import GOLD, Segctl, run_git

IDENTITIES = "    - identities: [anna@example.com, bert@example.com]\n"
FEW_ROWS = "    - file: {path: m.csv, column: email, minRows: 10}\n"


@pytest.fixture
def on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")


@pytest.fixture(autouse=True)
def _no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_WORKSPACE", "CI_PROJECT_DIR", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def broken(workspace: Path) -> Path:
    """A workspace with an unknown field, which has a capital letter too few."""
    (workspace / "gold.yaml").write_text(GOLD.replace("displayName", "displayname", 1))
    return workspace


@pytest.fixture
def refused(workspace: Path) -> Path:
    """A workspace whose list has too few rows."""
    (workspace / "m.csv").write_text("email\na@example.com\n")
    (workspace / "gold.yaml").write_text(GOLD.replace(IDENTITIES, FEW_ROWS))
    return workspace


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("::")]


@pytest.mark.usefixtures("broken", "on_github")
@pytest.mark.parametrize("command", [["validate"], ["validate", "--json"], ["plan"]])
def test_problems_are_annotated_on_standard_error(command: list[str], segctl: Segctl) -> None:
    done = segctl(*command)
    assert done.code == 1
    assert any("file=gold.yaml,line=5,col=3,title=segctl%3A " in c for c in commands(done.err))
    assert commands(done.out) == []


@pytest.mark.usefixtures("broken")
def test_outside_of_github_nothing_is_annotated(segctl: Segctl) -> None:
    assert commands(segctl("validate").err) == []


@pytest.mark.usefixtures("refused", "on_github")
def test_findings_of_a_plan_are_annotated_once(segctl: Segctl) -> None:
    done = segctl("plan")
    assert done.code == 6
    (command,) = commands(done.err)
    assert re.match(r"::error file=gold\.yaml,line=8,col=\d+,title=segctl%3A min-rows::", command)


@pytest.mark.usefixtures("refused", "on_github", "emulator")
def test_findings_of_an_apply_are_annotated_once(segctl: Segctl) -> None:
    done = segctl("apply", "--auto-approve")
    assert done.code == 6
    assert len(commands(done.err)) == 1


@pytest.mark.usefixtures("on_github")
def test_annotations_name_files_of_the_repository(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = broken / "repository"
    shutil.copytree(broken, repository / "growth", ignore=shutil.ignore_patterns("repository"))
    run_git(repository, "init", "--quiet")
    assert execute(["validate", "-C", str(repository / "growth")]) == 1
    assert "file=growth/gold.yaml,line=5" in commands(capsys.readouterr().err)[0]


def test_a_path_in_a_repository_ends_at_its_root(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert path_in_repository(tmp_path / "a", {}) is None
    assert path_in_repository(tmp_path / "a", {"CI_PROJECT_DIR": str(tmp_path)}) == "a"
    assert path_in_repository(tmp_path, {"GITHUB_WORKSPACE": str(tmp_path / "a")}) is None
    run_git(tmp_path, "init", "--quiet")
    assert path_in_repository(tmp_path / "a", {}) == "a"
    assert path_in_repository(tmp_path, {}) == ""


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_the_code_quality_report_has_the_problems(
    command: str, broken: Path, segctl: Segctl
) -> None:
    assert segctl(command, "--code-quality", "report.json").code == 1
    report = json.loads((broken / "report.json").read_text())
    assert {"path": "gold.yaml", "lines": {"begin": 5}} in [i["location"] for i in report]


def test_the_code_quality_report_of_a_plan_has_its_findings(refused: Path, segctl: Segctl) -> None:
    assert segctl("plan", "--code-quality", "report.json").code == 6
    report = json.loads((refused / "report.json").read_text())
    assert "min-rows" in [issue["check_name"] for issue in report]


def test_without_problems_an_old_report_becomes_empty(workspace: Path, segctl: Segctl) -> None:
    (workspace / "report.json").write_text('[{"check_name": "old"}]')
    assert segctl("validate", "--code-quality", "report.json").code == 0
    assert json.loads((workspace / "report.json").read_text()) == []


def test_the_reader_of_a_pipe_gets_the_code_quality_report(workspace: Path, segctl: Segctl) -> None:
    os.mkfifo(workspace / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((workspace / "pipe").read_text)
        # Until somebody reads from it, a pipe cannot be opened.
        runs = (segctl("validate", "--code-quality", "pipe").code for _ in range(50))
        assert 0 in runs
        assert json.loads(read.result()) == []


@pytest.mark.usefixtures("workspace")
def test_a_report_that_cannot_be_written_is_said(segctl: Segctl) -> None:
    done = segctl("validate", "--code-quality", "missing/report.json")
    assert done.code == 1
    assert "missing/report.json: No such file or directory" in done.err


@pytest.mark.parametrize("command", [["plan"], ["apply", "--auto-approve"]])
def test_a_step_summary_needs_the_variable(command: list[str], segctl: Segctl) -> None:
    done = segctl(*command, "--step-summary")
    assert (done.code, done.out) == (64, "")
    assert "--step-summary needs GITHUB_STEP_SUMMARY" in done.err


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the step summary."""
    path = tmp_path_factory.mktemp("summary") / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_the_step_summary_gets_each_plan(summary: Path, segctl: Segctl) -> None:
    for _ in range(2):
        segctl("plan", "--step-summary", "--identities", "full")
    text = summary.read_text()
    assert text.count("segment.gold") > 2
    assert text.count("### ") == 2
    assert "anna@example.com" not in text
    assert "<!--" not in text


def test_the_step_summary_gets_the_result_of_an_apply(
    summary: Path, segctl: Segctl, emulator: RunningEmulator
) -> None:
    del emulator
    segctl("apply", "--auto-approve", "--step-summary")
    text = summary.read_text()
    assert "segment.gold" in text
    assert "Apply complete" in text


@pytest.mark.usefixtures("broken")
def test_the_step_summary_says_that_there_is_no_plan(summary: Path, segctl: Segctl) -> None:
    assert segctl("plan", "--step-summary").code == 1
    assert "### No plan: 2 problems" in summary.read_text()


def test_a_step_summary_never_exceeds_what_github_shows(summary: Path, segctl: Segctl) -> None:
    summary.write_text("x" * ((1 << 20) - 6_000))
    segctl("plan", "--step-summary")
    size = summary.stat().st_size
    assert (1 << 20) - 6_000 < size <= 1 << 20
    summary.write_text("x" * ((1 << 20) - 100))
    assert "GITHUB_STEP_SUMMARY is full" in segctl("plan", "--step-summary").err
    assert summary.stat().st_size == (1 << 20) - 100


@pytest.mark.parametrize("option", ["--code-quality", "--json-into"])
@pytest.mark.parametrize(
    "name", ["segctl.state.json", "segctl.state.d/latest.json", "segctl.state.d/new.json"]
)
def test_a_report_never_takes_the_place_of_the_state(
    option: str, name: str, workspace: Path, segctl: Segctl
) -> None:
    folder = workspace / "segctl.state.d"
    folder.mkdir()
    done = segctl("validate", option, name)
    assert done.code == 64
    assert "a name of the state's files" in done.err
    assert not (workspace / name).exists()


@pytest.mark.parametrize("name", ["gold.yaml", "segctl.yaml", "link.json", "."])
def test_a_code_quality_report_replaces_no_other_file(
    name: str, workspace: Path, segctl: Segctl
) -> None:
    (workspace / "link.json").symlink_to("target.json")
    before = {path.name: path.read_bytes() for path in workspace.glob("*.yaml")}
    done = segctl("validate", "--code-quality", name)
    assert done.code == 1, done.err
    assert {path.name: path.read_bytes() for path in workspace.glob("*.yaml")} == before
