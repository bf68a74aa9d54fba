"""``segctl verify``: check the requests of a saved plan and the proof of their floor."""

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.core.health import has_problem
from segctl.render import verify_view
from segctl.workflows.verify import verify_plan


@click.command("verify", epilog="Example: segctl verify gold.segplan")
@click.argument("file", metavar="FILE", type=options.NonEmptyText())
@options.as_json
@options.limits
@common
def command(screen: Screen, *, file: str, as_json: bool) -> int:
    """Check the requests of a saved plan and the proof of their floor.

    FILE is a plan that `segctl plan --out` saved, or the digest of one that is kept
    with the state. Checks with code of its own that every change is sent once and nothing
    else, that no request is above the limits, and that no packing has fewer requests than
    the plan's floor. Takes up to two minutes for a million changes. Exits 1 if something is
    wrong.
    """
    verified = verify_plan(screen.context(), options.parse_plan_name(screen, file))
    if as_json:
        screen.out(verify_view.render_json(verified.plan, verified.checks))
    else:
        page = verify_view.render_text(verified.plan, verified.checks, style=screen.out_style)
        screen.out(screen.add_run_options(page))
    return 1 if has_problem(verified.checks) else 0
