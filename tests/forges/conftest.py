"""What the tests of the forges share: both stand-ins, and a clock that does not wait."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from segctl.forges.base import Forge
from segctl.forges.environment import open_forge
from tests.clocks import SwiftClock
from tests.forges.stand_ins import GitHubStandIn, GitLabStandIn, running_github, running_gitlab

Open = Callable[[Mapping[str, str]], Forge]


@pytest.fixture
def clock() -> SwiftClock:
    return SwiftClock()


@pytest.fixture
def open_for(clock: SwiftClock) -> Iterator[Open]:
    """Open the forge of an environment, with a clock that does not wait."""
    with ExitStack() as stack:

        def open_it(environment: Mapping[str, str]) -> Forge:
            forge = open_forge(environment, clock=clock, sleep=clock.wait, chance=lambda: 0.5)
            return stack.enter_context(closing(forge))

        yield open_it


@pytest.fixture
def github() -> Iterator[GitHubStandIn]:
    """A stand-in for GitHub with the open pull requests 7 and 8."""
    with running_github() as stand_in:
        stand_in.add_request(7)
        stand_in.add_request(8, head="b" * 40)
        yield stand_in


@pytest.fixture
def gitlab() -> Iterator[GitLabStandIn]:
    """A stand-in for GitLab with the open merge requests 7 and 8."""
    with running_gitlab() as stand_in:
        stand_in.add_request(7)
        stand_in.add_request(8, head="b" * 40)
        yield stand_in


@pytest.fixture(params=["github", "gitlab"])
def stand_in(request: pytest.FixtureRequest) -> GitHubStandIn | GitLabStandIn:
    """Each of the two stand-ins."""
    found: GitHubStandIn | GitLabStandIn = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def forge(stand_in: GitHubStandIn | GitLabStandIn, open_for: Open, tmp_path: Path) -> Forge:
    """The forge of a job for request 7."""
    return open_for(stand_in.job(tmp_path, 7))
