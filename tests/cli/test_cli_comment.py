"""``segctl comment``, run as a team's CI jobs run it, against stand-ins of both forges."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segctl.cli.main import execute
from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import GOLD, PROJECT, Done, Segctl, run_git
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

DIGEST = re.compile(r"plan=(sha256:[0-9a-f]{64}) ")
MERGE = "c" * 40
IDENTITIES = "    - identities: [anna@example.com, bert@example.com]\n"
HOSTILE = (
    "::error file=x::y",
    "##[add-mask]z",
    "<!-- segctl:comment key=0 -->",
    f"<!-- segctl:comment key=0123456789abcdef plan=sha256:{'6' * 64} head=unknown -->",
    "@acme/everybody",
    "\u202egnp.exe",
    "\x1b[31mred",
    "a\r\n::warning::b",
    "```\n# x",
    "]]>|</details>",
    "/close",
    "a\n/merge",
)


@pytest.fixture(params=["github", "gitlab"])
def stand_in(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    """Each of the forges, with the open requests 7 and 8."""
    running = running_github if request.param == "github" else running_gitlab
    with running() as found:
        found.add_request(7)
        found.add_request(8, head="b" * 40)
        yield found


@pytest.fixture
def repository(workspace: Path) -> Path:
    """The workspace as the root of a repository."""
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
    """Run a command in the environment of a job for a request, or for a push of ``commit``."""

    def run(*arguments: str, number: int = 7, commit: str = "", folder: Path | None = None) -> Done:
        events = tmp_path_factory.mktemp("events")
        job = stand_in.push_job(events, commit) if commit else stand_in.job(events, number)
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name in ("CI_MERGE_REQUEST_IID", "GITHUB_REF", "GITHUB_STEP_SUMMARY"):
                patch.delenv(name, raising=False)
            for name, value in job.items():
                patch.setenv(name, value)
            code = execute([*arguments, "-C", str(folder or repository)])
        captured = capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return Done(code=code, out=captured.out, err=captured.err)

    return run


def digest_in(body: str) -> str:
    found = DIGEST.search(body.partition("\n")[0])
    assert found
    return found[1]


def test_a_plan_is_put_on_the_request_and_updated_in_place(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    first = run_job("comment")
    assert (first.code, stand_in.bodies(7)[0].count("\n")) != (0, 0)
    assert "Created the comment on" in first.err
    assert f"from commit {'a' * 12} at" in stand_in.bodies(7)[0]
    assert "gold" in first.out
    (repository / "gold.yaml").write_text(GOLD.replace("Gold Users", "Golden"))
    stand_in.push(7, "d" * 40)
    assert "Updated the comment on" in run_job("comment").err
    assert len(stand_in.bodies(7)) == 1
    assert "segment.gold" in stand_in.bodies(7)[0]


def test_two_branches_have_two_comments(run_job: Job, stand_in: StandIn) -> None:
    run_job("comment")
    run_job("comment", number=8)
    assert [len(stand_in.bodies(number)) for number in (7, 8)] == [1, 1]


def test_two_workspaces_and_two_environments_have_their_comments(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    environments = "spec: {environments: {staging: {}, production: {}}}\n"
    for name in ("growth", "crm"):
        (repository / name).mkdir()
        (repository / name / "segctl.yaml").write_text(PROJECT + environments)
        (repository / name / "gold.yaml").write_text(GOLD)
    for _ in range(2):
        for name in ("growth", "crm"):
            for env_name in ("staging", "production"):
                run_job("comment", "-e", env_name, folder=repository / name)
    bodies = stand_in.bodies(7)
    assert len(bodies) == 4
    places = [(w, e) for w in ("growth", "crm") for e in ("staging", "production")]
    for body, (name, env_name) in zip(bodies, places, strict=True):
        assert f"<sub>Workspace <code>{name}</code></sub>" in body
        assert env_name in body


def test_a_run_without_changes_shortens_the_comment_and_creates_none(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    (repository / "gold.yaml").unlink()
    assert "none is created" in run_job("comment").err
    assert stand_in.bodies(7) == []
    (repository / "gold.yaml").write_text(GOLD)
    run_job("comment")
    long = len(stand_in.bodies(7)[0])
    (repository / "gold.yaml").unlink()
    assert run_job("comment").code == 0
    assert "No changes" in stand_in.bodies(7)[0]
    assert len(stand_in.bodies(7)[0]) < long


@pytest.mark.parametrize("merged_as", ["", MERGE])
def test_a_request_that_is_closed_is_left_alone(
    merged_as: str, run_job: Job, stand_in: StandIn
) -> None:
    run_job("comment")
    before = stand_in.bodies(7)
    stand_in.close(7, merged_as=merged_as)
    done = run_job("comment", "--destroy")
    assert done.code == 0
    assert ("is merged" if merged_as else "is closed") in done.err
    assert stand_in.bodies(7) == before


def test_a_job_for_an_older_commit_does_not_replace_the_newer_plan(
    run_job: Job, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job("comment")
    before = stand_in.bodies(7)
    job = stand_in.job
    old = "9" * 40

    def older_job(folder: Path, number: int, **more: str) -> dict[str, str]:
        stand_in.push(number, old)
        environment = job(folder, number, **more)
        stand_in.push(number, "a" * 40)
        return environment

    monkeypatch.setattr(stand_in, "job", older_job)
    done = run_job("comment", "--destroy")
    assert (done.code, stand_in.bodies(7)) == (0, before)
    assert "has later commits: this job is for 999999999999" in done.err


def test_a_plan_that_its_guards_refuse_is_posted_and_exits_6(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    (repository / "m.csv").write_text("email\na@example.com\n")
    source = "    - file: {path: m.csv, column: email, minRows: 10}\n"
    (repository / "gold.yaml").write_text(GOLD.replace(IDENTITIES, source))
    done = run_job("comment")
    assert (done.code, "Created the comment" in done.err) == (6, True)
    assert " plan=refused " in stand_in.bodies(7)[0]


def test_an_invalid_workspace_replaces_the_plan_by_a_notice(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    run_job("comment")
    (repository / "gold.yaml").write_text(GOLD.replace("displayName", "displayname"))
    done = run_job("comment")
    assert done.code == 1
    (body,) = stand_in.bodies(7)
    assert " plan=failed " in body
    assert "### No plan: 4 problems" in body
    assert "<code>gold.yaml:5:3</code>" in body


def test_a_project_that_cannot_be_read_keeps_its_comment(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    run_job("comment")
    (repository / "segctl.yaml").write_text("{")
    assert run_job("comment").code == 1
    (body,) = stand_in.bodies(7)
    assert "### No plan" in body


def test_a_notice_that_cannot_be_posted_does_not_hide_the_problem(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    (repository / "gold.yaml").write_text(GOLD.replace("displayName", "displayname"))
    stand_in.fail("POST", "/7/", 403, NOT_ACCESSIBLE)
    done = run_job("comment")
    assert done.code == 1
    assert "gold.yaml:5:3" in done.err
    assert "could not be updated, and may show an older plan" in done.err


def test_a_saved_plan_is_shown(run_job: Job, stand_in: StandIn, repository: Path) -> None:
    saved = repository.parent / "saved.segplan"
    run_job("plan", "--out", str(saved))
    digest = json.loads(run_job("show", str(saved), "--format", "json").out)["digest"]
    (repository / "gold.yaml").unlink()
    run_job("comment", "--plan", str(saved))
    assert digest_in(stand_in.bodies(7)[0]) == digest


def test_a_comment_shows_the_hashes_of_the_log_and_no_user_key(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    (repository / "now.txt").write_text("bert@example.com\n")
    assert run_job("import", "gold", "--members", "now.txt").code == 0
    log = run_job("comment", "--target", "gold").out
    [shown] = re.findall("[+] (#[0-9a-f]{10})\n", log)
    assert run_job("plan", "--target", "gold", "--out", "saved.segplan").code == 0
    for more in ([], ["--plan", "saved.segplan"]):
        run_job("comment", *(more or ["--target", "gold"]))
        [body] = stand_in.bodies(7)
        assert (shown in body, "anna" in body, "bert" in body) == (True, False, False)


def test_the_plan_of_the_comment_is_kept_and_shown_by_its_digest(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    run_job("comment", "--save")
    digest = digest_in(stand_in.bodies(7)[0])
    (repository / "gold.yaml").unlink()
    assert "is up to date" in run_job("comment", "--plan", digest).err
    missing = run_job("comment", "--plan", f"sha256:{'0' * 64}")
    assert missing.code == 4
    assert "plan=failed" in stand_in.bodies(7)[0]


def test_a_plan_that_is_kept_gets_a_comment_without_changes_too(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    (repository / "gold.yaml").unlink()
    run_job("comment", "--save")
    assert "No changes" in stand_in.bodies(7)[0]
    assert digest_in(stand_in.bodies(7)[0])


def test_what_was_reviewed_is_what_is_applied(
    run_job: Job, stand_in: StandIn, emulator: RunningEmulator
) -> None:
    del emulator
    run_job("comment", "--save")
    stand_in.close(7, merged_as=MERGE)
    digest = run_job("comment", "--digest", commit=MERGE).out.strip()
    done = run_job("apply", "--approved", digest, commit=MERGE)
    assert (done.code, "Apply complete" in done.out) == (0, True)


def test_a_comment_stays_below_the_size_that_is_asked_for(
    run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    parts = (GOLD.partition("---")[0].replace("gold", f"gold-{n}") for n in range(60))
    text = "---\n".join(part.replace("SEG-GOLD", f"S{n}") for n, part in enumerate(parts))
    (repository / "gold.yaml").write_text(text)
    run_job("comment", "--max-bytes", "8192")
    assert len(stand_in.bodies(7)[0].encode()) <= 8192


def test_the_digest_of_the_merged_request_is_printed_alone(run_job: Job, stand_in: StandIn) -> None:
    run_job("comment")
    stand_in.close(7, merged_as=MERGE)
    done = run_job("comment", "--digest", commit=MERGE)
    assert (done.code, done.err) == (0, "")
    assert done.out == digest_in(stand_in.bodies(7)[0]) + "\n"


def test_without_a_comment_there_is_no_digest(run_job: Job, stand_in: StandIn) -> None:
    stand_in.close(7, merged_as=MERGE)
    for commit, message in ((MERGE, "has no comment of"), ("d" * 40, "was not merged from")):
        done = run_job("comment", "--digest", commit=commit)
        assert (done.code, done.out) == (1, "")
        assert message in done.err


def test_the_digest_of_a_plan_before_the_last_commit_is_refused(
    run_job: Job, stand_in: StandIn
) -> None:
    run_job("comment")
    stand_in.push(7, "9" * 40)
    stand_in.close(7, merged_as=MERGE)
    done = run_job("comment", "--digest", commit=MERGE)
    assert (done.code, done.out) == (1, "")
    assert "what was merged is 999999999999" in done.err


def test_a_comment_that_is_refused_leaves_the_plan_in_the_log(
    run_job: Job, stand_in: StandIn
) -> None:
    stand_in.fail("POST", "/7/", 403, NOT_ACCESSIBLE)
    done = run_job("comment")
    assert done.code == 1
    assert "segment.gold" in done.out
    assert "Resource not accessible by integration" in done.err


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_can_forge_the_marker_or_speak_to_the_runner(
    text: str, run_job: Job, stand_in: StandIn, repository: Path
) -> None:
    hostile = GOLD.replace("Gold Users", json.dumps(text)).replace("anna", "an\U000e0001na")
    labels = f"metadata: {{name: gold, labels: {{team: {json.dumps(text)}}}}}"
    (repository / "gold.yaml").write_text(hostile.replace("metadata: {name: gold}", labels))
    done = run_job("comment")
    (body,) = stand_in.bodies(7)
    assert sum(line.startswith("<!-- segctl:") for line in body.splitlines()) == 1
    assert "6" * 64 not in body.partition("\n")[0]
    assert not re.search("^/", body, re.MULTILINE), "a quick action of GitLab"
    own = re.compile("::(?:error|warning) ")
    for line in re.split("[\r\n]", done.out + done.err):
        assert not line.lstrip().startswith("::") or own.match(line)
        assert "##[" not in line
    assert not re.search("[\x1b\u202e\r]", done.out + done.err + body)


@pytest.mark.parametrize(
    "options", [["--plan", "x.segplan"], ["--destroy"], ["--target", "x"], ["--var", "a=b"]]
)
def test_the_digest_takes_no_option_of_a_plan(options: list[str], run_job: Job) -> None:
    done = run_job("comment", "--digest", *options)
    assert (done.code, done.out) == (64, "")


@pytest.mark.usefixtures("repository")
def test_outside_of_a_job_nothing_is_planned(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_REPOSITORY", "CI_PROJECT_ID", "GITLAB_CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    done = segctl("comment")
    assert (done.code, done.out) == (64, "")
    assert "no CI job of GitHub or GitLab" in done.err


def test_programs_of_sources_do_not_get_the_token(
    run_job: Job, stand_in: StandIn, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seen = tmp_path_factory.mktemp("seen") / "environment"
    script = f"#!/bin/sh\nenv > {seen}\necho email; echo anna@example.com\n"
    program = seen.parent / "members"
    program.write_text(script)
    program.chmod(0o700)
    project = PROJECT + f"spec: {{allowCommands: [{program}]}}\n"
    (repository / "segctl.yaml").write_text(project)
    source = f"    - command: {{run: [{program}], column: email, format: csv}}\n"
    (repository / "gold.yaml").write_text(GOLD.replace(IDENTITIES, source))
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "-m", "x")
    for name in ("HEAD", "main"):
        run_git(repository, "update-ref", f"refs/remotes/origin/{name}", "HEAD")
    done = run_job("comment")
    assert done.code == 0, done.err
    assert "PATH=" in seen.read_text()
    assert TOKEN not in seen.read_text()
    assert len(stand_in.bodies(7)) == 1
