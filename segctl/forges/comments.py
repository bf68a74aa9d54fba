"""Find and update the comment of a workspace: one for each workspace and environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segctl.core.errors import ForgeFailed, OperationError
from segctl.forges.base import ADVICE_WITHOUT_DIGEST, Account, Comment, Forge, PullRequest
from segctl.forges.marker import Marker, parse_marker

_ATTEMPTS = 3
_SECONDS_BETWEEN = 2.0
_GONE = (404, 410)


@dataclass(frozen=True, kw_only=True)
class KeyedComments:
    """The comments with the marker of one key, newest first.

    ``own`` are those of ``account``, to which the token belongs; ``others`` are the rest.
    """

    account: Account
    own: tuple[Comment, ...]
    others: tuple[Comment, ...]


@dataclass(frozen=True, kw_only=True)
class CommentUpdate:
    """What became of the comment: ``created``, ``updated``, ``unchanged`` or ``none``.

    ``removed`` and ``kept`` are the URLs of older comments with the same key: those that were
    removed, and those that could not be removed.
    """

    action: str
    url: str = ""
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def find_comments(forge: Forge, request: PullRequest, key: str) -> KeyedComments:
    """Return the comments of a pull request whose first line is a marker with this key."""
    account = forge.account()
    found = [
        comment
        for comment in forge.list_comments(request.number)
        if (marker := parse_marker(comment.body)) and marker.key == key
    ]
    found.sort(key=lambda comment: comment.id, reverse=True)
    return KeyedComments(
        account=account,
        own=tuple(c for c in found if account.is_same(c.author)),
        others=tuple(c for c in found if not account.is_same(c.author)),
    )


def post_comment(
    forge: Forge,
    request: PullRequest,
    key: str,
    body: str,
    *,
    creates: bool,
    sleep: Callable[[float], None],
) -> CommentUpdate:
    """Replace the newest own comment with this key by ``body``, and remove older ones.

    Without one, create it if ``creates``. Also create one if somebody else edited the comment and
    its text is ``body`` again: its digest would not count, and an update to the same text might
    change nothing. List the comments again if it is not certain whether the comment was created,
    or if it was deleted in between.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        found = find_comments(forge, request, key)
        own = found.own
        if not own and not creates:
            return CommentUpdate(action="none")
        is_same = bool(own) and own[0].body.replace("\r\n", "\n").strip() == body.strip()
        is_new = not own or (is_same and _is_edited_by_others(forge, own[0], found.account))
        try:
            if is_new:
                url = forge.create_comment(request.number, body).url
                removed, kept = _remove(forge, request, own)
                return CommentUpdate(action="created", url=url, removed=removed, kept=kept)
            if not is_same:
                forge.update_comment(request.number, own[0].id, body)
            removed, kept = _remove(forge, request, own[1:])
            action = "unchanged" if is_same else "updated"
            return CommentUpdate(action=action, url=own[0].url, removed=removed, kept=kept)
        except ForgeFailed as error:
            can_retry = error.uncertain if is_new else error.status in _GONE
            if not can_retry or attempt == _ATTEMPTS:
                raise
            sleep(_SECONDS_BETWEEN)
    raise AssertionError


def _is_edited_by_others(forge: Forge, comment: Comment, account: Account) -> bool:
    try:
        return forge.is_edited_by_others(comment, account)
    except ForgeFailed:
        return False  # who reads the digest asks again


def _remove(
    forge: Forge, request: PullRequest, comments: Sequence[Comment]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove comments. Return the URLs of those that were removed, and of those that were not."""
    removed: list[str] = []
    kept: list[str] = []
    for comment in comments:
        try:
            forge.delete_comment(request.number, comment.id)
            removed.append(comment.url)
        except OperationError as error:
            is_gone = isinstance(error, ForgeFailed) and error.status in _GONE
            (removed if is_gone else kept).append(comment.url)
    return tuple(removed), tuple(kept)


def read_digest(forge: Forge, request: PullRequest, key: str) -> str:
    """Return the digest of the plan that the one own comment with this key shows.

    Raises ``OperationError`` if there is no such comment, or several, if somebody else edited it,
    if it shows no plan that can be applied, or if the branch got another commit after the plan.
    """
    found = find_comments(forge, request, key)
    advice = ADVICE_WITHOUT_DIGEST
    if len(found.own) > 1:
        raise OperationError(
            f"{request.title} has {len(found.own)} comments for this workspace and environment",
            hint=f"Delete all but the right one, or: {advice}",
        )
    if not found.own:
        names = ", ".join(sorted({comment.author.name or "unknown" for comment in found.others}))
        by_others = f"; those of {names} do not count" if names else ""
        raise OperationError(
            f"{request.title} has no comment of {found.account.name or 'this token'} for this "
            f"workspace and environment{by_others}",
            hint="A plan without changes gets no comment. The token must belong to the account "
            f"that wrote the comment. {advice}",
        )
    if forge.is_edited_by_others(found.own[0], found.account):
        raise OperationError(
            f"somebody else edited the comment on {request.title}: {found.own[0].url}",
            hint=f"Find out who did, and why. {advice}",
        )
    marker = parse_marker(found.own[0].body)
    if marker is None or marker.digest is None:
        what = (
            "failed" if marker is None or marker.plan == "failed" else "was refused by its guards"
        )
        raise OperationError(f"the plan of {request.title} {what}: {found.own[0].url}", hint=advice)
    if marker.head and request.head and not _is_same_commit(marker, request.head):
        raise OperationError(
            f"the comment on {request.title} shows the plan of commit {marker.head[:12]}, and what "
            f"was merged is {request.head[:12]}",
            hint=f"Nobody reviewed the plan of the last commit. {advice}",
        )
    return marker.digest


def _is_same_commit(marker: Marker, head: str) -> bool:
    return head.startswith(marker.head)
