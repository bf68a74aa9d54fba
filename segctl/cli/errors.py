"""How errors are printed, and the exit code of each."""

import traceback

import click

from segctl import __version__
from segctl.cli.ci_output import annotate_diagnostics, annotate_findings
from segctl.cli.screen import Screen
from segctl.cli.source_lines import source_lines
from segctl.core.errors import (
    AppliedInPart,
    ApprovalUsed,
    BeyondApproval,
    GuardRefused,
    Interrupted,
    InvalidInput,
    SegctlError,
    SegmentsHeld,
    StalePlan,
    StateLocked,
    WrongUsage,
)
from segctl.render import diagnostics, text
from segctl.render.approval_view import check_lines
from segctl.render.grouping import group_findings
from segctl.render.style import escaped

FAILED = 1
USAGE = 64
OUR_BUG = 70
INTERRUPTED = 130

_CODES: dict[type[SegctlError], int] = {
    AppliedInPart: 3,
    StalePlan: 4,
    ApprovalUsed: 4,
    BeyondApproval: 4,
    StateLocked: 5,
    GuardRefused: 6,
    SegmentsHeld: 6,
    WrongUsage: USAGE,
    Interrupted: INTERRUPTED,
}
_ISSUES = "the project's issue tracker"


def report(error: BaseException, screen: Screen) -> int:
    """Print what went wrong and what to do. Return the exit code."""
    expected = isinstance(error, SegctlError | click.ClickException | click.Abort)
    if screen.traceback or (screen.debug and not expected):
        screen.err("".join(traceback.format_exception(error)))
    match error:
        case click.ClickException():
            return _usage(error, screen)
        case click.Abort() | KeyboardInterrupt() | EOFError():
            # Abort is click's Ctrl-C; click has already ended the line.
            screen.err("Interrupted.\n" if isinstance(error, click.Abort) else "\nInterrupted.\n")
            return INTERRUPTED
        case SegctlError():
            _explain(error, screen)
            return exit_code(error)
        case _:
            return _bug(error, screen)


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error that a command raised."""
    if isinstance(error, SegctlError):
        return _CODES.get(type(error), FAILED)
    return USAGE if isinstance(error, click.ClickException) else OUR_BUG


def _usage(error: click.ClickException, screen: Screen) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        screen.err(error.format_message() + "\n")
        return USAGE
    if isinstance(error, click.UsageError) and error.ctx:
        screen.err(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n\n")
    screen.err(f"{_heading(screen)} {_multiline(error.format_message())}\n")
    return USAGE


def _explain(error: SegctlError, screen: Screen) -> None:
    style = screen.err_style
    if isinstance(error, InvalidInput):
        source = source_lines(screen)
        found = diagnostics.render_text(error.diagnostics, style=style, source=source)
        screen.err(screen.add_run_options(found))
        annotate_diagnostics(screen, error.diagnostics)
    if isinstance(error, GuardRefused):
        lines = (
            line
            for found in group_findings(error.findings)
            for line in text.finding_lines(found, style=style)
        )
        screen.err(screen.add_run_options("".join(f"{line}\n" for line in lines)))
        annotate_findings(screen, error.findings)
    if isinstance(error, BeyondApproval):
        screen.err("".join(f"{line}\n" for line in check_lines(error.check, style=style)))
    screen.err(f"{_heading(screen)} {_multiline(error.message)}\n")
    if error.hint and not _told(error):
        screen.err(f"  {_multiline(screen.add_run_options(error.hint))}\n")


def _told(error: SegctlError) -> bool:
    """Whether a finding printed above says the same as the hint."""
    findings = error.findings if isinstance(error, GuardRefused) else ()
    return any(found.detail == error.hint for found in findings)


def _bug(error: BaseException, screen: Screen) -> int:
    # The text of an unexpected exception can quote anything, so it is shown only on request.
    screen.err(
        f"{_heading(screen)} segctl {__version__} met an error that it did not expect: "
        f"{type(error).__name__}\n"
        f"  This is a bug. Please report it to {_ISSUES}, with the output of the same\n"
        f"  command and SEGCTL_TRACEBACK=1 set. Remove identities from it first.\n"
    )
    return OUR_BUG


def _heading(screen: Screen) -> str:
    style = screen.err_style
    return style.red(style.bold("Error:"))


def _multiline(message: str) -> str:
    return "\n  ".join(escaped(line) for line in message.splitlines())
