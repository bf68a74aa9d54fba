"""The text of the comment on a pull request: the plan, or a notice that there is none."""

from collections.abc import Iterator

from segctl.core.diagnostics import Diagnostic
from segctl.core.errors import InvalidInput, SegctlError
from segctl.forges.comments import Renewal
from segctl.plan.model import Plan
from segctl.render import markdown
from segctl.render.markdown import escape
from segctl.render.phrases import Identities, format_count
from segctl.render.style import escaped

MAX_PROBLEMS = 20
_MARKER = "<!-- segctl plan -->"


def render_plan_comment(
    plan: Plan, *, workspace: str, env_name: str, identities: Identities, max_bytes: int
) -> str:
    """Return the plan as Markdown, at most ``max_bytes`` bytes.

    The workspace and environment come first, where there can be more than one.
    """
    caption = _caption(workspace, env_name)
    room = max_bytes - len(caption.encode())
    return caption + render_plan(plan, identities=identities, max_bytes=room)


def render_plan(plan: Plan, *, identities: Identities, max_bytes: int) -> str:
    """Return the plan as Markdown without a marker, at most ``max_bytes`` bytes."""
    text = markdown.render(plan, identities=identities, limit=max_bytes)
    return text.strip("\n").removeprefix(_MARKER).removesuffix(_MARKER).strip("\n") + "\n"


def render_failure_comment(
    error: Exception, *, workspace: str, env_name: str, max_bytes: int
) -> str:
    """Return a notice that the plan failed, and where, at most ``max_bytes`` bytes."""
    lines = list(_failure_lines(error))
    text = _caption(workspace, env_name) + lines[0] + "\n"
    left = len(lines) - 1
    for line in lines[1:]:
        more = f"- … and {left} more, in the log of the job\n"
        if len(f"{text}{line}\n{more}".encode()) > max_bytes:
            return text + more
        text += f"{line}\n"
        left -= 1
    return text


def comment_lines(request: str, left_alone: str, renewal: Renewal | None) -> Iterator[str]:
    """Yield what became of the comment on a request, for the log of the job."""
    if renewal is None:
        yield f"{escaped(left_alone[:1].upper() + left_alone[1:])}. Its comment is left as it is."
        return
    url = f": {escaped(renewal.url)}" if renewal.url else "."
    match renewal.what:
        case "none":
            yield f"There are no changes, and {request} has no comment to renew: none is created."
        case "created":
            yield f"Created the comment on {request}{url}"
        case "unchanged":
            yield f"The comment on {request} is up to date{url}"
        case _:
            yield f"Renewed the comment on {request}{url}"
    for address in renewal.removed:
        yield f"Removed an older comment for the same workspace and environment: {escaped(address)}"
    for address in renewal.kept:
        yield (
            "An older comment for the same workspace and environment could not be removed; "
            f"delete it by hand: {escaped(address)}"
        )


def _caption(workspace: str, env_name: str) -> str:
    parts = [f"Workspace <code>{escape(workspace)}</code>"] if workspace else []
    parts += [f"Environment <code>{escape(env_name)}</code>"] if env_name else []
    return f"<sub>{'. '.join(parts)}.</sub>\n\n" if parts else ""


def _failure_lines(error: Exception) -> Iterator[str]:
    if isinstance(error, InvalidInput):
        shown = error.diagnostics[:MAX_PROBLEMS]
        yield f"### No plan: {format_count(len(error.diagnostics), 'problem')}\n"
        for diagnostic in shown:
            yield _problem_line(diagnostic)
        if len(shown) < len(error.diagnostics):
            yield f"- … and {len(error.diagnostics) - len(shown)} more, in the log of the job"
    elif isinstance(error, SegctlError):
        yield "### No plan\n"
        for part in (error.message, *error.hint.splitlines()):
            yield f"{escape(part)}  "
    else:
        # The text of an unexpected exception can quote anything.
        yield "### No plan\n"
        yield "segctl met an error that it did not expect. The log of the job has more."


def _problem_line(diagnostic: Diagnostic) -> str:
    where = f"<code>{escape(str(diagnostic.location))}</code>: " if diagnostic.location else ""
    return f"- {where}{escape(diagnostic.summary)}"
