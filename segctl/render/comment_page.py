"""The text of the comment on a pull request: the plan, or a notice that there is none."""

from collections.abc import Iterator

from segctl.core.diagnostics import Diagnostic
from segctl.core.errors import InvalidInput, SegctlError
from segctl.forges.comments import CommentUpdate
from segctl.plan.model import Plan
from segctl.render import markdown
from segctl.render.markdown_text import escape
from segctl.render.member_format import MemberFormat
from segctl.render.phrases import format_count
from segctl.render.style import escaped

MAX_PROBLEMS = 20


def render_plan_comment(
    plan: Plan, *, workspace: str, identities: MemberFormat, max_bytes: int
) -> str:
    """Return the plan as Markdown, at most ``max_bytes`` bytes.

    The second line names the workspace, unless it is the root of the repository.
    """
    heading = caption(workspace)
    bytes_left = max_bytes - len(heading.encode())
    text = render_plan(plan, identities=identities, max_bytes=bytes_left)
    result, end, rest = text.partition("\n")
    return f"{result}{end}{heading}{rest}"


def render_plan(plan: Plan, *, identities: MemberFormat, max_bytes: int) -> str:
    """Return the plan as Markdown without a marker, at most ``max_bytes`` bytes."""
    text = markdown.render(plan, identities=identities, max_bytes=max_bytes)
    return text.strip("\n").removesuffix(markdown.MARKER).strip("\n") + "\n"


def render_failure_comment(
    error: Exception, *, workspace: str, env_name: str, max_bytes: int
) -> str:
    """Return a notice that the plan failed, and where, at most ``max_bytes`` bytes."""
    place = f" for {escape(env_name)}" if env_name else ""
    problems = error.diagnostics if isinstance(error, InvalidInput) else ()
    count = f": {format_count(len(problems), 'problem')}" if problems else ""
    text = f"### No plan{place}{count}\n{caption(workspace)}\n"
    lines = tuple(failure_lines(error))
    for number, line in enumerate(lines):
        more = f"- … and {len(lines) - number} more, in the log of the job\n"
        if number == MAX_PROBLEMS or len(f"{text}{line}\n{more}".encode()) > max_bytes:
            return text + more
        text += f"{line}\n"
    return text


def comment_lines(request: str, left_alone: str, update: CommentUpdate | None) -> Iterator[str]:
    """Yield what became of the comment on a request, for the log of the job."""
    if update is None:
        yield f"{escaped(left_alone[:1].upper() + left_alone[1:])}. Its comment is left as it is."
        return
    url = f": {escaped(update.url)}" if update.url else "."
    match update.action:
        case "none":
            yield f"There are no changes, and {request} has no comment to update: none is created."
        case "created":
            yield f"Created the comment on {request}{url}"
        case "unchanged":
            yield f"The comment on {request} is up to date{url}"
        case _:
            yield f"Updated the comment on {request}{url}"
    for address in update.removed:
        yield f"Removed an older comment for the same workspace and environment: {escaped(address)}"
    for address in update.kept:
        yield (
            "An older comment for the same workspace and environment could not be removed; "
            f"delete it by hand: {escaped(address)}"
        )


def caption(workspace: str) -> str:
    """Return the line that names the workspace, empty for the root of the repository."""
    return f"<sub>Workspace <code>{escape(workspace)}</code></sub>\n" if workspace else ""


def failure_lines(error: Exception) -> Iterator[str]:
    """Yield the message of an error, or each of its problems, as lines of Markdown."""
    if isinstance(error, InvalidInput):
        yield from (_problem_line(diagnostic) for diagnostic in error.diagnostics)
    elif isinstance(error, SegctlError):
        # A line of GitLab must not begin with a slash, which would make it a quick action.
        yield from (f"> {escape(part)}  " for part in (error.message, *error.hint.splitlines()))
    else:
        # The text of an unexpected exception can quote anything.
        yield "segctl met an error that it did not expect. The log of the job has more."


def _problem_line(diagnostic: Diagnostic) -> str:
    where = f"<code>{escape(str(diagnostic.location))}</code>: " if diagnostic.location else ""
    return f"- {where}{escape(diagnostic.summary)}"
