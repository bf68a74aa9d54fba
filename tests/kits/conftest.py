"""A team's scratch repository: a remote, a forge on loopback, an emulator, a state in a bucket."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from segctl.emulator.testing import RunningEmulator, running_emulator
from tests.backends.store_servers import BUCKET, moto
from tests.forges.stand_ins import (
    PROJECT,
    REPOSITORY,
    GitHubStandIn,
    GitLabStandIn,
    running_github,
    running_gitlab,
)
from tests.kits.runners import GitHubRunner, GitLabRunner, JobResult, git

SETTINGS = """\
apiVersion: segctl/v1
kind: Project
metadata: {{name: growth}}
spec:
  provider: {{baseUrl: "{url}", settleSeconds: 0}}
  guards: {{maxRemovePercent: 50}}
  approval: {{toleranceMembers: 2}}
  state: {{backend: objectStore, url: "{state}", leaseSeconds: 10}}
"""
GOLD = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}
spec:
  displayName: Gold
  customerSegmentId: GOLD
  members:
    - file: {path: gold.csv, column: email}
"""
SILVER = GOLD.replace("name: gold", "name: silver").replace("Gold", "Silver").replace("GOLD", "S")


@pytest.fixture(scope="session")
def bucket() -> Iterator[Mapping[str, str]]:
    with moto() as environment:
        yield dict(environment)


@pytest.fixture(scope="session")
def _server() -> Iterator[RunningEmulator]:
    with running_emulator() as running:
        yield running


class Team:
    """What people do: write files, push branches, open requests, merge."""

    def __init__(self, folder: Path, emulator: RunningEmulator) -> None:
        self.remote = folder / "remote.git"
        self.clone = folder / "clone"
        self.state = f"s3://{BUCKET}/{uuid.uuid4().hex}"
        self.emulator = emulator
        for place, options in ((self.remote, ["--bare"]), (self.clone, [])):
            place.mkdir(parents=True)
            git(place, "init", "--quiet", "--initial-branch=main", *options)
        git(self.remote, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(self.clone, "remote", "add", "origin", str(self.remote))
        self.write("segctl.yaml", SETTINGS.format(url=emulator.url, state=self.state))
        self.write("gold.yaml", GOLD)
        self.fill(10)
        self.push("main")

    def write(self, name: str, text: str) -> None:
        """Write a file of the workspace."""
        path = self.clone / "segments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def fill(self, count: int) -> None:
        """Let the table have so many members."""
        self.write("gold.csv", "email\n" + "".join(f"u{n}@example.com\n" for n in range(count)))

    def branch(self, name: str) -> None:
        """Begin a branch from main."""
        git(self.clone, "checkout", "--quiet", "-B", name, "main")

    def push(self, name: str) -> str:
        """Commit everything, push it to a branch, and return the commit."""
        git(self.clone, "add", "--all", ".")
        git(self.clone, "commit", "--quiet", "--allow-empty", "--message", name)
        git(self.clone, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{name}")
        return git(self.clone, "rev-parse", "HEAD")

    def merge(self, name: str) -> str:
        """Merge a branch into main, and return the commit of the merge."""
        git(self.clone, "checkout", "--quiet", "main")
        git(self.clone, "merge", "--quiet", "--no-ff", "--message", "merge", "--", name)
        return self.push("main")

    def members(self) -> int:
        """Return how many members all segments in the account have."""
        url = f"{self.emulator.url}/emulator/v1/segments"
        answer = httpx.get(url, headers=self.emulator.headers).json()
        return sum(segment["members"] for segment in answer)


class GitHubTeam(Team):
    """A team on GitHub, with the kit's workflow."""

    def __init__(
        self,
        folder: Path,
        emulator: RunningEmulator,
        bucket: Mapping[str, str],
        forge: GitHubStandIn,
    ) -> None:
        super().__init__(folder, emulator)
        self.forge = forge
        self.runner = GitHubRunner(self.remote, folder, bucket)
        self.events = folder / "events"
        self.secrets = {
            "CLEVERTAP_ACCOUNT_ID": emulator.account,
            "CLEVERTAP_PASSCODE": emulator.passcode,
        }

    def request(self, job: str, number: int, *, repository: str = REPOSITORY) -> JobResult:
        """Run a job for a pull request, whose branch is in ``repository``."""
        pull = self.forge.requests[number]
        environment = self.forge.job(self.events, number, GITHUB_SHA=pull["head"]["sha"])
        head = {**pull["head"], "repo": {"full_name": repository}}
        request = {**pull, "head": head, "user": {"login": "anna"}, "title": "$(touch pwned)"}
        is_fork = repository != REPOSITORY
        return self._run(job, environment, {"pull_request": request}, is_fork=is_fork)

    def pushed(self, job: str, commit: str) -> JobResult:
        """Run a job for a push to main."""
        return self._run(job, self.forge.push_job(self.events, commit), {"after": commit})

    def scheduled(self) -> JobResult:
        """Run the job of the schedule on main."""
        commit = git(self.remote, "rev-parse", "main")
        environment = self.forge.push_job(self.events, commit)
        return self._run("scheduled-apply", {**environment, "GITHUB_EVENT_NAME": "schedule"}, {})

    def _run(
        self, job: str, environment: dict[str, str], event: dict[str, Any], *, is_fork: bool = False
    ) -> JobResult:
        event["repository"] = {"default_branch": "main"}
        secrets = {} if is_fork else self.secrets
        return self.runner.run(job, environment, event, secrets=secrets)

    def open(self, number: int, name: str) -> JobResult:
        """Push a branch, open a pull request for it, and run its plan."""
        self.forge.add_request(number, head=self.push(name))
        return self.request("plan", number)

    def close(self, number: int, name: str) -> JobResult:
        """Merge a pull request, and run the apply of the merge."""
        commit = self.merge(name)
        self.forge.close(number, merged_as=commit)
        return self.pushed("apply", commit)


class GitLabTeam(Team):
    """A team on GitLab, with the kit's pipeline."""

    def __init__(
        self,
        folder: Path,
        emulator: RunningEmulator,
        bucket: Mapping[str, str],
        forge: GitLabStandIn,
    ) -> None:
        super().__init__(folder, emulator)
        self.forge = forge
        self.runner = GitLabRunner(self.remote, folder, bucket)
        self.folder = folder
        self.variables = {
            "CLEVERTAP_ACCOUNT_ID": emulator.account,
            "CLEVERTAP_PASSCODE": emulator.passcode,
        }

    def request(self, job: str, number: int, *, source: str = PROJECT) -> JobResult:
        """Run a job for a merge request, whose branch is in the project ``source``."""
        environment = self.forge.job(self.folder, number, CI_MERGE_REQUEST_SOURCE_PROJECT_ID=source)
        return self.runner.run(job, environment, variables={})

    def pushed(self, job: str, commit: str, **more: str) -> JobResult:
        """Run a job on main."""
        environment = {**self.forge.push_job(self.folder, commit), **more}
        return self.runner.run(job, environment, variables=self.variables)


@pytest.fixture
def github(
    tmp_path: Path, _server: RunningEmulator, bucket: Mapping[str, str]
) -> Iterator[GitHubTeam]:
    """A team on GitHub."""
    _server.restart()
    with running_github() as forge:
        yield GitHubTeam(tmp_path, _server, bucket, forge)


@pytest.fixture
def gitlab(
    tmp_path: Path, _server: RunningEmulator, bucket: Mapping[str, str]
) -> Iterator[GitLabTeam]:
    """A team on GitLab."""
    _server.restart()
    with running_gitlab() as forge:
        yield GitLabTeam(tmp_path, _server, bucket, forge)
