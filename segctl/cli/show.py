"""``segctl show``: show a saved plan, or the state."""

from dataclasses import replace

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import DocumentFile, check_distinct, check_one_json
from segctl.cli.screen import Screen
from segctl.cli.views import FORMATS, check_view, plan_view
from segctl.core.errors import WrongUsage
from segctl.plan.model import Plan
from segctl.render import state_view
from segctl.render.member_format import Identities, MemberFormat
from segctl.workflows.member_key import find_member_key
from segctl.workflows.saved_plans import read_saved_plan
from segctl.workflows.state import read_state


@click.command("show", epilog="Example: segctl show gold.segplan --format markdown")
@click.argument("file", metavar="[FILE]", required=False, type=options.NonEmptyText())
@click.option(
    "--format", "view", type=click.Choice(FORMATS), help="How to print it.  [default: text]"
)
@options.as_json
@options.json_into
@options.identities
@options.max_bytes
@common
def command(
    screen: Screen,
    *,
    file: str | None,
    view: str | None,
    as_json: bool,
    json_into: str | None,
    identities: str | None,
    max_bytes: int | None,
) -> None:
    """Show a saved plan, or the state.

    FILE is a plan that `segctl plan --out` saved, or the digest of one that is kept
    with the state. Without it, the state is shown, as text or JSON.
    """
    view = check_view(screen, view, as_json=as_json)
    check_one_json(as_json=view == "json", json_into=json_into)
    check_distinct(screen, FILE=file, json_into=json_into)
    document = DocumentFile(screen, json_into) if json_into else None
    options.check_max_bytes(max_bytes, view=view)
    if name := options.saved_plan(screen, file):
        plan = read_saved_plan(screen.context(), name)
        asked = options.identities_mode(identities, view=view)
        mode = MemberFormat(mode=asked, key=_member_key(screen, plan, asked, view))
        if document:
            document.put(plan_view(plan, view="json", identities=mode, style=screen.out_style))
        page = plan_view(
            plan, view=view, identities=mode, style=screen.out_style, max_bytes=max_bytes
        )
        screen.out(screen.add_run_options(page) if view == "text" else page)
        return
    if view not in {"text", "json"}:
        raise WrongUsage(f"the state is shown as text or json, not as {view}")
    state = read_state(screen.context())
    if document:
        document.put(state_view.render_json(state))
    screen.out(
        state_view.render_json(state)
        if view == "json"
        else state_view.render_text(state, style=screen.out_style)
    )


def _member_key(screen: Screen, plan: Plan, asked: Identities, view: str) -> str:
    """Return the key of the state that the plan was made from, if the view shows hashes."""
    if asked is not Identities.MASKED or view == "json":
        return ""
    context = replace(screen.context(), env_name=plan.env_name)
    return find_member_key(context, lineage=plan.lineage)
