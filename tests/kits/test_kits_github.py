"""The action and the workflow, run step by step as GitHub would."""

import re

import pytest
from obstore.store import S3Store

from tests.kits.conftest import GOLD, SILVER, GitHubTeam
from tests.kits.runners import ROOT, git

DIGEST = re.compile("sha256:[0-9a-f]{64}")


def digest_of(team: GitHubTeam, number: int) -> str:
    [body] = team.forge.bodies(number)
    found = DIGEST.search(body.partition("\n")[0])
    assert found
    return found[0]


def swap_kept_plan(team: GitHubTeam, number: int, other: int) -> None:
    """Put the kept plan of another pull request in the place of that of this one."""
    variables = team.runner.bucket
    name, folder = team.state.removeprefix("s3://").split("/")
    store = S3Store(
        name,
        prefix=f"{folder}/plans",
        endpoint=variables["AWS_ENDPOINT_URL"],
        region=variables["AWS_REGION"],
        access_key_id=variables["AWS_ACCESS_KEY_ID"],
        secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )
    keys = [item["path"] for item in store.list().collect()]
    ours, theirs = (
        next(key for key in keys if digest_of(team, each).removeprefix("sha256:") in key)
        for each in (number, other)
    )
    store.put(ours, store.get(theirs).bytes())


def test_two_branches_are_planned_updated_merged_and_applied_once(github: GitHubTeam) -> None:
    github.branch("more")
    github.fill(12)
    plan = github.open(7, "more")
    assert (plan.code, plan.outputs["has-changes"]) == (0, "true"), plan.log
    assert plan.outputs["digest"] == digest_of(github, 7)
    assert "segment.gold" in plan.summary
    github.branch("silver")
    github.write("silver.yaml", SILVER)
    assert github.open(8, "silver").code == 0
    git(github.clone, "checkout", "--quiet", "more")
    github.fill(13)
    github.forge.push(7, github.push("more"))
    assert github.request("plan", 7).code == 0
    assert [len(github.forge.bodies(number)) for number in (7, 8)] == [1, 1]
    assert plan.outputs["digest"] != digest_of(github, 7)

    applied = github.close(7, "more")
    assert (applied.code, github.members()) == (0, 13), applied.log
    assert applied.outputs == {
        "digest": digest_of(github, 7),
        "has-changes": "",
        "exit-code": "0",
    }
    again = github.pushed("apply", git(github.clone, "rev-parse", "HEAD"))
    assert (again.code, again.outputs["exit-code"], github.members()) == (4, "4", 13)
    assert "applied completely before" in again.log
    assert github.forge.issues == [], "nothing is wrong"


def test_data_moves_within_the_tolerance_and_beyond(github: GitHubTeam) -> None:
    github.branch("more")
    assert github.open(7, "more").code == 0
    github.branch("main")
    github.fill(12)
    github.push("main")
    git(github.clone, "branch", "--force", "more", "main")
    applied = github.close(7, "more")
    assert (applied.code, github.members()) == (0, 12), applied.log

    github.branch("again")
    assert github.open(8, "again").code == 0
    github.branch("main")
    github.fill(15)
    github.push("main")
    git(github.clone, "branch", "--force", "again", "main")
    refused = github.close(8, "again")
    assert (refused.code, github.members()) == (4, 12), refused.log
    [issue] = github.forge.open_issues()
    assert "3 to add beyond the approved 0 (2 tolerated)" in issue
    held = github.scheduled()
    assert (held.code, github.members()) == (4, 12), "nobody approved what was merged"

    github.branch("main")
    github.fill(14)
    merged = github.push("main")
    github.forge.close(8, merged_as=merged)
    assert github.pushed("apply", merged).code == 0
    assert (github.members(), github.forge.open_issues()) == (14, [])


def test_a_scheduled_apply_that_a_guard_refuses_is_an_issue_until_it_heals(
    github: GitHubTeam,
) -> None:
    assert github.scheduled().code == 0
    github.fill(2)
    github.push("main")
    first, second = github.scheduled(), github.scheduled()
    assert (first.code, second.code, github.members()) == (6, 6, 10)
    assert first.outputs["exit-code"] == "6"
    [issue] = github.forge.open_issues()
    assert "a guard refused the plan" in issue
    github.fill(9)
    github.push("main")
    assert (github.scheduled().code, github.members()) == (0, 9)
    assert github.forge.open_issues() == []


def test_a_kept_plan_that_was_replaced_is_not_applied(github: GitHubTeam) -> None:
    github.branch("more")
    assert github.open(7, "more").code == 0
    github.branch("other")
    github.write("silver.yaml", SILVER)
    assert github.open(8, "other").code == 0
    swap_kept_plan(github, 7, 8)
    refused = github.close(7, "more")
    assert (refused.code or 0) > 0, refused.log
    assert github.members() == 0
    assert len(github.forge.open_issues()) == 1


def test_a_fork_gets_its_problems_and_nothing_else(github: GitHubTeam) -> None:
    github.branch("fork")
    source = "command: {run: [sh, -c, touch /tmp/pwned-by-a-fork], column: email}"
    github.write("gold.yaml", GOLD.replace("file: {path: gold.csv, column: email}", source))
    github.write("bad.yaml", GOLD.replace("displayName", "displayname").replace("gold}", "bad}"))
    github.forge.add_request(9, head=github.push("fork"))
    github.forge.accounts.clear()  # its token can do nothing
    done = github.request("validate", 9, repository="mallory/segments")
    assert done.code == 1
    assert "::error file=segments/bad.yaml" in done.log
    assert github.request("plan", 9, repository="mallory/segments").code is None
    assert github.forge.log == []


def test_no_name_becomes_a_command(github: GitHubTeam) -> None:
    name = "x-$(touch${IFS}pwned)`touch${IFS}pwned`;touch${IFS}pwned"
    github.branch(name)
    github.write("gold.yaml", GOLD.replace("displayName: Gold", 'displayName: "$(touch pwned)"'))
    for program in ("venv.py", "pip.py", "segctl.py"):
        (github.clone / program).write_text("open('pwned', 'w')\n")
        github.write(program, "open('pwned', 'w')\n")
    github.forge.add_request(7, head=github.push(name))
    github.forge.requests[7]["head"]["ref"] = name
    done = github.request("plan", 7)
    assert done.code == 0, done.log
    assert not list(done.folder.rglob("pwned"))
    assert len(github.forge.bodies(7)) == 1


@pytest.mark.parametrize(("mode", "code"), [("setup", 0), ("$(touch pwned)", 64), ("", 64)])
def test_the_action_checks_its_mode_and_installs_pinned_versions(
    mode: str, code: int, github: GitHubTeam
) -> None:
    github.forge.add_request(7, head=github.push("x"))
    github.runner.workflow["jobs"]["validate"]["steps"][-1]["with"]["mode"] = mode
    done = github.request("validate", 7)
    assert done.code == code
    assert ("::error::The input mode is" in done.log) is (code == 64)
    assert not list(done.folder.rglob("pwned"))
    if code == 0:
        asked = (done.folder / "pip.log").read_text()
        assert asked == f"{ROOT}/constraints.txt -I -m pip install --quiet {ROOT}\n"
