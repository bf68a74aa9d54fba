"""Open the forge that the environment of a CI job names."""

from collections.abc import Callable, Mapping
from typing import Any

from segctl.core.ci import read_event
from segctl.core.clock import Clock
from segctl.core.errors import OperationError, WrongUsage
from segctl.forges.base import Forge
from segctl.forges.github import HEADERS as GITHUB_HEADERS
from segctl.forges.github import GitHub, github_access
from segctl.forges.gitlab import HEADERS as GITLAB_HEADERS
from segctl.forges.gitlab import GitLab, gitlab_access
from segctl.forges.http import ForgeHttp


def open_forge(
    environment: Mapping[str, str],
    *,
    clock: Clock,
    sleep: Callable[[float], None],
    chance: Callable[[], float],
) -> Forge:
    """Return the forge of this CI job. Nothing is sent yet.

    Raises ``WrongUsage`` outside of a job of GitHub or GitLab, ``CredentialsRefused`` without a
    token, and ``OperationError`` for an address that cannot be used.
    """

    def http(access: Any, headers: Mapping[str, str]) -> ForgeHttp:
        return ForgeHttp(access, headers=headers, clock=clock, sleep=sleep, chance=chance)

    is_gitlab = environment.get("GITLAB_CI") == "true" or "CI_PROJECT_ID" in environment
    is_github = environment.get("GITHUB_ACTIONS") == "true" or not is_gitlab
    if is_github and environment.get("GITHUB_REPOSITORY"):
        connection = http(github_access(environment), GITHUB_HEADERS)
        return GitHub(connection, environment, _read_event(environment))
    if is_gitlab:
        return GitLab(http(gitlab_access(environment), GITLAB_HEADERS), environment)
    raise WrongUsage(
        "this is no CI job of GitHub or GitLab: neither GITHUB_REPOSITORY nor CI_PROJECT_ID is set",
        hint="Elsewhere, `segctl plan --format markdown` prints the text of the comment.",
    )


def _read_event(environment: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        return read_event(environment)
    except (OSError, ValueError, RecursionError) as error:
        raise OperationError(
            f"the event of the job in GITHUB_EVENT_PATH cannot be read: {type(error).__name__}",
            hint="GitHub sets it in each job. In a container, mount the file too.",
        ) from None
