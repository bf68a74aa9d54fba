"""``segctl validate``: check the workspace and report every problem."""

import click

from segctl import operations
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.cli.source_lines import source_lines
from segctl.errors import InvalidInput
from segctl.render import diagnostics
from segctl.render.phrases import counted
from segctl.render.style import escaped


@click.command("validate", epilog="Example: segctl validate --json")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@common
def command(screen: Screen, *, as_json: bool) -> int:
    """Check the workspace and report every problem.

    Each problem is given with file, line and column; exits 1 where there is one.
    Documents that are not segctl's are passed over and listed.
    """
    try:
        loaded = operations.validate(screen.context(), variables=screen.variables)
    except InvalidInput as invalid:
        if as_json:
            screen.out(diagnostics.validation_document(invalid.diagnostics, ()))
            return 1
        raise
    if as_json:
        screen.out(diagnostics.validation_document(loaded.warnings, loaded.passed_over))
        return 0
    screen.err(
        diagnostics.text(loaded.warnings, style=screen.err_style, source=source_lines(screen))
    )
    for name in loaded.passed_over:
        screen.err(f"Passed over: {escaped(name)}\n")
    segments = counted(len(loaded.desired.segments), "segment")
    screen.out(f"The workspace is valid: {segments}.\n")
    return 0
