"""Write the plan as a comment on the pull request of a CI job, and read the digest from it."""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from segctl.core.ci import commit_of
from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError, StalePlan
from segctl.core.git import path_in_repository
from segctl.core.process_secrets import hide_variables
from segctl.forges import github, gitlab
from segctl.forges.base import Forge, PullRequest
from segctl.forges.comments import CommentUpdate, post_comment, read_digest
from segctl.forges.environment import open_forge
from segctl.forges.marker import FAILED, REFUSED, Marker, comment_key
from segctl.manifests.workspace import read_project_name
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.workflows.member_key import find_member_key
from segctl.workflows.plan import PlanResult, plan_workspace
from segctl.workflows.saved_plans import SavedPlanName, read_saved_plan

_LOG = logging.getLogger(__name__)
TOKENS = (github.TOKEN, gitlab.TOKEN)
"""Variables with tokens of forges."""


@dataclass(frozen=True, kw_only=True)
class CommentPlace:
    """What a comment is for: a workspace, by its path in the repository, and an environment.

    ``workspace`` is empty for the root of the repository, and the name of the Project without a
    repository.
    """

    workspace: str
    env_name: str

    @property
    def key(self) -> str:
        """The key in the marker of the comment."""
        return comment_key(self.workspace, self.env_name)


class CommentWriter(Protocol):
    """Writes the text of a comment, at most ``max_bytes`` bytes."""

    def write_plan(self, plan: Plan, place: CommentPlace, *, max_bytes: int) -> str:
        """Return the text for a plan."""

    def write_failure(self, error: Exception, place: CommentPlace, *, max_bytes: int) -> str:
        """Return the text for a plan that could not be made."""


@dataclass(frozen=True, kw_only=True)
class CommentResult:
    """What became of the comment on a pull request.

    ``plan`` is ``None`` if none was made. ``left_alone`` says why the comment was not touched, and
    ``update`` what was done to it otherwise.
    """

    request: str
    plan: Plan | None = None
    left_alone: str = ""
    update: CommentUpdate | None = None


def comment_plan(
    context: Context,
    *,
    saved: SavedPlanName | None = None,
    variables: Mapping[str, str],
    targets: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
    hold: bool = False,
    destroy: bool = False,
    reread: bool = False,
    save: bool = False,
    lock_timeout: float = 0.0,
    max_bytes: int | None = None,
    writer: CommentWriter,
    show: Callable[[PlanResult], None],
) -> CommentResult:
    """Plan, or read the plan ``saved``, and write it as a comment on the job's pull request.

    ``show`` gets the plan before anything is sent. With ``save``, the plan is kept with the state.
    The comment of an earlier run is updated. A plan without changes creates no comment unless it is
    kept. If there is no plan, a notice replaces the comment, and the error is raised. The comment
    on a pull request that is closed or has later commits is not touched.

    Raises ``WrongUsage`` outside of a job for a pull request, ``CredentialsRefused``,
    ``ForgeFailed``, and the errors of a plan.
    """
    with closing(open_context_forge(context)) as forge:
        request = forge.find_pull_request()
        if reason := _reason_to_leave(forge, request):
            return CommentResult(request=request.title, left_alone=reason)
        posting = _Posting(context, forge, request, writer, max_bytes)
        try:
            planned = _make_plan(
                _without_tokens(context),
                saved=saved,
                variables=variables,
                targets=targets,
                excluded=excluded,
                hold=hold,
                destroy=destroy,
                reread=reread,
                save=save,
                lock_timeout=lock_timeout,
            )
        except Exception as error:
            posting.post_failure(error)
            raise
        show(planned)
        # The job that applies an approved plan reads its digest, also of a plan without changes.
        is_kept = planned.is_kept or bool(saved and saved.digest)
        return posting.post_plan(planned.plan, is_kept=is_kept)


def read_approved_digest(context: Context) -> str:
    """Return the digest in the comment on the pull request that the commit was merged from.

    Raises ``OperationError`` if there is no such pull request or comment, or more than one.
    """
    with closing(open_context_forge(context)) as forge:
        return read_digest(forge, forge.find_merged_pull_request(), find_place(context).key)


def find_place(context: Context) -> CommentPlace:
    """Return the workspace and environment of a run. The manifests need not be valid."""
    inside = path_in_repository(context.root, context.environment)
    workspace = read_project_name(context.root) if inside is None else inside
    return CommentPlace(workspace=workspace, env_name=context.env_name)


class _Posting:
    """The comment of one run on an open pull request."""

    def __init__(
        self,
        context: Context,
        forge: Forge,
        request: PullRequest,
        writer: CommentWriter,
        max_bytes: int | None,
    ) -> None:
        self._sleep = context.sleep
        self._place = find_place(context)
        self._forge = forge
        self._request = request
        self._writer = writer
        self._max_bytes = min(max_bytes or forge.max_bytes, forge.max_bytes)

    def post_plan(self, plan: Plan, *, is_kept: bool) -> CommentResult:
        place = replace(self._place, env_name=plan.env_name)
        marker = self._marker(place, REFUSED if plan.error_findings else plan.digest)
        text = self._writer.write_plan(plan, place, max_bytes=self._bytes_left(marker))
        creates = not plan.is_empty or bool(plan.error_findings or plan.held) or is_kept
        return replace(self._post(place, marker, text, creates=creates), plan=plan)

    def post_failure(self, error: Exception) -> None:
        """Replace the comment by a notice. If that fails, the failure is only logged."""
        marker = self._marker(self._place, FAILED)
        text = self._writer.write_failure(error, self._place, max_bytes=self._bytes_left(marker))
        try:
            self._post(self._place, marker, text, creates=True)
        except OperationError as failed:
            _LOG.error(
                "the comment on %s could not be updated, and may show an older plan: %s",
                self._request.title,
                failed.message,
            )

    def _post(
        self, place: CommentPlace, marker: Marker, text: str, *, creates: bool
    ) -> CommentResult:
        # While a plan is made, the pull request may be merged or get new commits.
        request = self._forge.find_pull_request()
        if reason := _reason_to_leave(self._forge, request):
            return CommentResult(request=request.title, left_alone=reason)
        update = post_comment(
            self._forge,
            request,
            place.key,
            f"{marker}\n{text}",
            creates=creates,
            sleep=self._sleep,
        )
        return CommentResult(request=request.title, update=update)

    def _marker(self, place: CommentPlace, plan: str) -> Marker:
        head = self._forge.run_head() or self._request.head
        return Marker(key=place.key, plan=plan, head=head)

    def _bytes_left(self, marker: Marker) -> int:
        return self._max_bytes - len(str(marker).encode()) - 1


def open_context_forge(context: Context) -> Forge:
    """Return the forge of the CI job. Raises ``WrongUsage``, ``CredentialsRefused``."""
    return open_forge(
        context.environment, clock=context.clock, sleep=context.sleep, chance=context.chance
    )


def _without_tokens(context: Context) -> Context:
    """Return the context for the plan: programs of sources get no token of the forge."""
    for name in TOKENS:
        hide_variables(name)
    kept = {name: value for name, value in context.environment.items() if name not in TOKENS}
    return replace(context, environment=kept)


def _reason_to_leave(forge: Forge, request: PullRequest) -> str:
    """Return why the comment is not touched, empty if it is."""
    if not request.is_open:
        return f"{request.title} is {request.state}"
    head = forge.run_head()
    if head and request.head and head != request.head:
        return (
            f"{request.title} has later commits: this job is for {head[:12]}, and its branch is at "
            f"{request.head[:12]}"
        )
    return ""


def _make_plan(
    context: Context,
    *,
    saved: SavedPlanName | None,
    variables: Mapping[str, str],
    targets: tuple[str, ...],
    excluded: tuple[str, ...],
    hold: bool,
    destroy: bool,
    reread: bool,
    save: bool,
    lock_timeout: float,
) -> PlanResult:
    if saved is None:
        return plan_workspace(
            context,
            variables=variables,
            targets=targets,
            excluded=excluded,
            hold=hold,
            destroy=destroy,
            reread=reread,
            save=save,
            lock_timeout=lock_timeout,
        )
    plan = read_saved_plan(context, saved)
    if context.env_name and context.env_name != plan.env_name:
        raise StalePlan(
            f"the plan was made for {plan.env_name or 'no environment'}, and this is "
            f"{context.env_name}",
            hint="Leave -e and SEGCTL_ENV out: the plan says where it goes.",
        )
    commit = commit_of(context.environment)
    if plan.commit and commit and plan.commit != commit:
        raise StalePlan(
            f"the plan was made from commit {plan.commit[:12]}, and this job is for {commit[:12]}",
            hint="Make a new plan in this job.",
        )
    key = find_member_key(replace(context, env_name=plan.env_name), lineage=plan.lineage)
    return PlanResult(plan=plan, member_key=key)
