"""``--issue``: what a job could not apply is an issue on the forge, until it is applied."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segctl.cli.main import execute
from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import GOLD, PROJECT, Done, run_git
from tests.forges.stand_ins import (
    NOT_ACCESSIBLE,
    TOKEN,
    GitHubStandIn,
    GitLabStandIn,
    running_github,
    running_gitlab,
)

StandIn = GitHubStandIn | GitLabStandIn
Job = Callable[..., Done]
COMMIT = "c" * 40
IDENTITIES = "    - identities: [anna@example.com, bert@example.com]\n"
TOO_FEW = "    - file: {path: m.csv, column: email, minRows: 10}\n"
REPORTED = ("apply", "--auto-approve", "--issue")


@pytest.fixture(params=["github", "gitlab"])
def stand_in(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    running = running_github if request.param == "github" else running_gitlab
    with running() as found:
        found.add_request(7)
        yield found


@pytest.fixture
def repository(workspace: Path, emulator: RunningEmulator) -> Path:
    """The workspace as the root of a repository, and an empty account."""
    del emulator
    run_git(workspace, "init", "--quiet")
    return workspace


@pytest.fixture
def run_job(
    repository: Path,
    stand_in: StandIn,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Job:
    """Run a command as a job for a push."""

    def run(*arguments: str, number: int | None = None) -> Done:
        events = tmp_path_factory.mktemp("events")
        is_push = number is None
        job = stand_in.push_job(events, COMMIT) if is_push else stand_in.job(events, number or 0)
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name in ("CI_MERGE_REQUEST_IID", "GITHUB_REF", "GITHUB_STEP_SUMMARY"):
                patch.delenv(name, raising=False)
            for name, value in job.items():
                patch.setenv(name, value)
            code = execute([*arguments, "-C", str(repository)])
        captured = capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return Done(code=code, out=captured.out, err=captured.err)

    return run


def shrink(repository: Path) -> None:
    (repository / "m.csv").write_text("email\na@example.com\n")
    (repository / "gold.yaml").write_text(GOLD.replace(IDENTITIES, TOO_FEW))


def test_a_guard_that_trips_is_an_issue_until_it_does_not(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    shrink(repository)
    first, second = run_job(*REPORTED), run_job(*REPORTED)
    assert (first.code, second.code) == (6, 6)
    assert ("Opened issue #" in first.err, "Updated issue #" in second.err) == (True, True)
    [body] = stand_in.open_issues()
    assert "### Exit code 6: a guard refused the plan" in body
    assert "10" in body
    assert not re.search(r"\\n|&#92;n", body), "details are lines of their own"
    (repository / "gold.yaml").write_text(GOLD)
    done = run_job(*REPORTED)
    assert (done.code, stand_in.open_issues()) == (0, [])
    assert "Closed issue #" in done.err


def test_a_change_freeze_is_no_issue(run_job: Job, stand_in: StandIn, repository: Path) -> None:
    everyday = "{changeFreeze: [{daily: 00:00-12:00}, {daily: 12:00-24:00}]}"
    (repository / "segctl.yaml").write_text(f"{PROJECT}spec: {everyday}\n")
    done = run_job(*REPORTED)
    assert done.code == 6
    assert "No issue is opened: a change freeze ends by itself." in done.err
    assert stand_in.open_issues() == []


def test_a_run_without_a_problem_opens_none(run_job: Job, stand_in: StandIn) -> None:
    done = run_job(*REPORTED)
    assert (done.code, stand_in.issues) == (0, [])


def test_problems_of_manifests_are_named(run_job: Job, stand_in: StandIn, repository: Path) -> None:
    (repository / "gold.yaml").write_text(GOLD.replace("displayName", "displayname"))
    assert run_job(*REPORTED).code == 1
    assert "<code>gold.yaml:5:3</code>" in stand_in.open_issues()[0]


def test_an_approval_that_does_not_cover_holds_runs_without_one(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    assert run_job("comment", "--save", number=7).code == 0
    stand_in.close(7, merged_as=COMMIT)
    digest = run_job("comment", "--digest").out.strip()
    (repository / "gold.yaml").write_text(GOLD.replace("anna", "carla"))
    assert run_job("apply", "--approved", digest, "--issue").code == 4
    assert "1 to add beyond the approved" in stand_in.open_issues()[0]
    held = run_job(*REPORTED)
    assert held.code == 4
    assert "this run has no approval" in held.err
    assert len(stand_in.open_issues()) == 1
    (repository / "gold.yaml").write_text(GOLD)
    assert run_job("apply", "--approved", digest, "--issue").code == 0
    assert stand_in.open_issues() == []
    assert run_job(*REPORTED).code == 0


def test_an_approved_apply_in_part_is_an_issue_that_holds_nothing(
    run_job: Job, stand_in: StandIn
) -> None:
    run_job("comment", "--save", number=7)
    stand_in.close(7, merged_as=COMMIT)
    digest = run_job("comment", "--digest").out.strip()
    assert run_job("apply", "--approved", digest, "--issue", "--max-duration", "0").code == 3
    assert "it was applied in part" in stand_in.open_issues()[0]
    assert (run_job(*REPORTED).code, stand_in.open_issues()) == (0, [])


def test_an_issue_that_is_closed_by_hand_lets_the_next_run_go(
    run_job: Job, stand_in: StandIn
) -> None:
    assert run_job("comment", "--digest", "--issue").code == 1
    assert run_job(*REPORTED).code == 4
    [issue] = stand_in.issues
    stand_in.close_issue(issue.get("number") or issue["iid"])
    assert run_job(*REPORTED).code == 0


def test_an_issue_whose_first_line_was_edited_holds_until_it_is_closed(
    run_job: Job, stand_in: StandIn
) -> None:
    run_job("comment", "--digest", "--issue")
    [issue] = stand_in.issues
    text = "body" if isinstance(stand_in, GitHubStandIn) else "description"
    issue[text] = f"Anna looks into it.\n{issue[text]}"
    held = run_job(*REPORTED)
    assert held.code == 4
    assert "its first line, which said whether it holds this run, was edited" in held.err
    stand_in.close_issue(issue.get("number") or issue["iid"])
    assert run_job(*REPORTED).code == 0


def test_a_digest_that_cannot_be_read_is_an_issue(run_job: Job, stand_in: StandIn) -> None:
    done = run_job("comment", "--digest", "--issue")
    assert (done.code, done.out) == (1, "")
    assert "nobody reviewed its plan" in stand_in.open_issues()[0]


def test_a_run_of_some_segments_does_not_close_the_issue(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    shrink(repository)
    run_job(*REPORTED)
    (repository / "gold.yaml").write_text(GOLD)
    assert run_job(*REPORTED, "--target", "segment.council").code == 0
    assert len(stand_in.open_issues()) == 1


def test_an_issue_that_cannot_be_opened_does_not_hide_the_error(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    shrink(repository)
    stand_in.fail("POST", "/issues", 403, NOT_ACCESSIBLE)
    done = run_job(*REPORTED)
    assert done.code == 6
    assert "The issue could not be opened or updated" in done.err


def test_an_issue_that_cannot_be_closed_is_said_after_the_apply(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    shrink(repository)
    run_job(*REPORTED)
    (repository / "gold.yaml").write_text(GOLD)
    method = "PATCH" if isinstance(stand_in, GitHubStandIn) else "PUT"
    stand_in.fail(method, "/issues", 403, NOT_ACCESSIBLE)
    done = run_job(*REPORTED)
    assert (done.code, "Apply complete" in done.out) == (1, True)
    assert "Resource not accessible by integration" in done.err
    assert run_job(*REPORTED).code == 0
    assert stand_in.open_issues() == []


def test_without_a_token_nothing_is_sent(
    run_job: Job, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = stand_in.push_job
    token = "GITHUB_TOKEN" if isinstance(stand_in, GitHubStandIn) else "GITLAB_TOKEN"
    monkeypatch.setattr(stand_in, "push_job", lambda *a: {**job(*a), token: ""})
    done = run_job(*REPORTED)
    assert (done.code, done.out) == (1, "")
    assert f"{token} is not set" in done.err


@pytest.mark.parametrize(
    "text", ["@acme/all", "x\n/close", "<!-- segctl:issue -->", "\u202e\x1b[1m"]
)
def test_no_name_speaks_in_an_issue(
    text: str, run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    hostile = GOLD.replace("Gold Users", "x").replace("displayName: x", f"{json.dumps(text)}: x")
    (repository / "gold.yaml").write_text(hostile)
    assert run_job(*REPORTED).code == 1
    [body] = stand_in.open_issues()
    lines = body.splitlines()
    assert [n for n, line in enumerate(lines) if line.startswith("<!--")] == [0]
    assert not any(line.startswith("/") for line in lines)
    assert not {"\u202e", "\x1b"} & set(body)
    assert "@acme" not in body


def test_programs_of_sources_do_not_get_the_token(
    run_job: Job, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seen = tmp_path_factory.mktemp("seen") / "environment"
    program = seen.parent / "members"
    program.write_text(f"#!/bin/sh\nenv > {seen}\necho email; echo anna@example.com\n")
    program.chmod(0o700)
    (repository / "segctl.yaml").write_text(PROJECT + f"spec: {{allowCommands: [{program}]}}\n")
    source = f"    - command: {{run: [{program}], column: email, format: csv}}\n"
    (repository / "gold.yaml").write_text(GOLD.replace(IDENTITIES, source))
    assert run_job(*REPORTED).code == 0
    assert "PATH=" in seen.read_text()
    assert TOKEN not in seen.read_text()
    assert "PATH" in os.environ
