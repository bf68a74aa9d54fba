"""The pipeline, run line by line as GitLab would."""

import json

from tests.kits.conftest import GOLD, GitLabTeam
from tests.kits.runners import git


def test_a_request_is_validated_planned_merged_and_applied_once(gitlab: GitLabTeam) -> None:
    gitlab.branch("more")
    gitlab.fill(12)
    gitlab.forge.add_request(7, head=gitlab.push("more"))
    assert gitlab.request("segctl-validate", 7).code == 0
    plan = gitlab.request("segctl-plan", 7)
    assert (plan.code, len(gitlab.forge.bodies(7))) == (0, 1), plan.log
    commit = gitlab.merge("more")
    gitlab.forge.close(7, merged_as=commit)
    applied = gitlab.pushed("segctl-apply", commit)
    assert (applied.code, gitlab.members()) == (0, 12), applied.log
    again = gitlab.pushed("segctl-apply", commit)
    assert (again.code, gitlab.members(), gitlab.forge.issues) == (4, 12, [])


def test_a_commit_that_nobody_reviewed_is_an_issue_and_holds_the_schedule(
    gitlab: GitLabTeam,
) -> None:
    commit = git(gitlab.clone, "rev-parse", "HEAD")
    refused = gitlab.pushed("segctl-apply", commit)
    assert refused.code == 1
    assert "nobody reviewed its plan" in gitlab.forge.open_issues()[0]
    held = gitlab.pushed("segctl-scheduled-apply", commit, CI_PIPELINE_SOURCE="schedule")
    assert (held.code, gitlab.members()) == (4, 0)
    gitlab.forge.close_issue(gitlab.forge.issues[0]["iid"])
    gone = gitlab.pushed("segctl-scheduled-apply", commit, CI_PIPELINE_SOURCE="schedule")
    assert (gone.code, gitlab.members()) == (0, 10), gone.log


def test_a_fork_is_validated_only(gitlab: GitLabTeam) -> None:
    gitlab.branch("fork")
    gitlab.write("gold.yaml", GOLD.replace("displayName", "displayname"))
    gitlab.forge.add_request(9, head=gitlab.push("fork"))
    gitlab.forge.accounts.clear()
    done = gitlab.request("segctl-validate", 9, source="666")
    assert done.code == 1
    report = json.loads((done.folder / "work/gl-code-quality-report.json").read_text())
    assert report[0]["location"]["path"] == "segments/gold.yaml"
    assert gitlab.request("segctl-plan", 9, source="666").code is None
    assert gitlab.forge.log == []
