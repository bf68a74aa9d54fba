"""The text of the issue that says why a workspace was not applied."""

import re
from collections.abc import Iterator

from segctl.core.errors import BeyondApproval, GuardRefused, SegmentsHeld
from segctl.forges.issues import IssueUpdate
from segctl.plan.model import Finding
from segctl.render.approval_view import check_lines
from segctl.render.comment_page import caption, failure_lines
from segctl.render.markdown_text import code_block, escape, escape_line
from segctl.render.style import escaped

_MAX_LINES = 20
_MAX_TITLE = 200
_LINK = re.compile(r"https?://[\w.:/~-]{1,500}", re.ASCII)
_MEANINGS = {
    3: "it was applied in part",
    4: "it is not what was approved, or nothing was approved",
    5: "another run holds the lock of the state",
    6: "a guard refused the plan",
    70: "segctl met an error that it did not expect",
}
"""What the exit codes mean for a run that has ended; all others: it failed."""


def issue_title(workspace: str, env_name: str) -> str:
    """Return the title of an issue: plain text for both forges."""
    place = " ".join(part for part in (workspace, f"({env_name})" if env_name else "") if part)
    title = f"segctl: segments are not applied{': ' if place else ''}{escaped(place)}"
    return title if len(title) <= _MAX_TITLE else f"{title[:_MAX_TITLE]}…"


def render_issue(
    error: Exception, *, exit_code: int, workspace: str, env_name: str, run_url: str, holds: bool
) -> str:
    """Return the text of an issue as Markdown: what went wrong, where, and what to do.

    Each list in it is short, so that it fits into what every forge accepts.
    """
    place = f" for {escape(env_name)}" if env_name else ""
    parts = [
        f"### Exit code {exit_code}{place}: {_meaning(error, exit_code)}",
        caption(workspace),
        "\n".join(_shortened(_error_lines(error))),
    ]
    if isinstance(error, GuardRefused | SegmentsHeld):
        parts.append("\n".join(_shortened(_finding_line(found) for found in error.findings)))
    if isinstance(error, BeyondApproval):
        parts.append(code_block(check_lines(error.check), "text"))
    if holds:
        parts.append(
            "What was merged is not applied completely. While this issue is open, a run that "
            "nobody approved sends nothing. Run the job again (after the change freeze, if one "
            "stopped it), have a new plan approved in another pull request, or close this issue to "
            "let the next scheduled run apply what the guards allow."
        )
    parts.append(
        f"{_run_line(run_url)} segctl updates this issue with every run that does not succeed, and "
        "closes it after one that does."
    )
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _meaning(error: Exception, exit_code: int) -> str:
    if isinstance(error, SegmentsHeld):
        return "segments are held back, and everything else is applied"
    return _MEANINGS.get(exit_code, "it failed")


def closing_note(run_url: str) -> str:
    """Return the line at the end of an issue that is closed."""
    return f"Closed: everything was applied. {_run_line(run_url)}".strip()


def issue_lines(update: IssueUpdate) -> Iterator[str]:
    """Yield what became of the issue, for the log of the job."""
    if update.issue:
        url = f": {escaped(update.issue.url)}" if update.issue.url else "."
        yield f"{update.action.title()} {update.issue.title}{url}"
    for other in update.others:
        yield f"Closed {other.title} too, for the same workspace and environment."


def _error_lines(error: Exception) -> Iterator[str]:
    findings = error.findings if isinstance(error, GuardRefused) else ()
    if isinstance(error, GuardRefused) and any(f.detail == error.hint for f in findings):
        return iter([f"> {escape(error.message)}"])
    return failure_lines(error)


def _finding_line(found: Finding) -> str:
    """Return a list item: the summary, and the details in lines of their own."""
    details = [line for line in found.detail.splitlines() if line.strip()]
    return "  \n".join([f"- {escape(found.summary)}", *(f"  {escape_line(d)}" for d in details)])


def _shortened(lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == _MAX_LINES:
            yield "- … and more, in the log of the job"
            return
        yield line


def _run_line(url: str) -> str:
    return f"The run: {url if _LINK.fullmatch(url) else escape(url)}" if url else ""
