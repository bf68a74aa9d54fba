"""The views of a plan, by name. Each is imported when it is used."""

from segctl.cli.screen import Screen
from segctl.core.errors import WrongUsage
from segctl.plan.model import Plan
from segctl.render.member_format import MemberFormat
from segctl.render.phrases import MAX_COMMENT_BYTES
from segctl.render.style import Style

FORMATS = ("text", "markdown", "json", "html")


def check_view(screen: Screen, view: str | None, *, as_json: bool) -> str:
    """Return the chosen format. With JSON, an error is JSON too.

    Raises ``WrongUsage`` for ``--json`` with another format.
    """
    if as_json and view not in {None, "json"}:
        raise WrongUsage(f"--json and --format {view} exclude each other")
    if as_json or view == "json":
        screen.json_command = screen.command
        return "json"
    return view or "text"


def plan_view(
    plan: Plan,
    *,
    view: str,
    identities: MemberFormat,
    style: Style,
    max_bytes: int | None = None,
) -> str:
    """Return the plan in one of ``FORMATS``. Only text has colors; JSON has no identities.

    ``max_bytes`` limits Markdown.
    """
    match view:
        case "json":
            from segctl.render import json_document  # noqa: PLC0415 - one view a run

            return json_document.render(plan)
        case "markdown":
            from segctl.render import markdown  # noqa: PLC0415 - one view a run

            return markdown.render(
                plan, identities=identities, max_bytes=max_bytes or MAX_COMMENT_BYTES
            )
        case "html":
            from segctl.render import html  # noqa: PLC0415 - jinja2 is slow to import

            return html.render(plan, identities=identities)
        case _:
            from segctl.render import text  # noqa: PLC0415 - one view a run

            return text.render(plan, identities=identities, style=style)
