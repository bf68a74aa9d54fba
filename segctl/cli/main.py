"""The program: a static table of commands, and the one place that turns errors into exit codes.

``segctl --help`` needs only the table. A command's module, with the libraries that it needs,
is imported when the command is called.
"""

import gc
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from segctl import __version__
from segctl.cli.arguments import ARGUMENTS, split_levels
from segctl.cli.root_options import ROOT_OPTIONS
from segctl.cli.screen import Screen
from segctl.cli.spelling import OTHER_COMMANDS, check_spelling
from segctl.cli.streams import install
from segctl.cli.termination_signals import TerminationSignals

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("init", "Create a workspace that plans without errors."),
    "validate": ("validate", "Check the workspace and report every problem."),
    "fmt": ("fmt", "Rewrite the manifests in canonical form."),
    "schema": ("schema", "Print the JSON Schema of a document that segctl reads or writes."),
    "plan": ("plan", "Show what an apply would change."),
    "comment": ("comment", "Show the plan on the pull request of a CI job."),
    "apply": ("apply", "Change CleverTap's segments to what is declared."),
    "destroy": ("destroy", "Remove all members of the managed segments."),
    "show": ("show", "Show a saved plan, or the state."),
    "verify": ("verify", "Check the requests of a saved plan and the proof of their floor."),
    "members": ("members", "List, count and compare the members of segments."),
    "graph": ("graph", "Draw which sources fill which segments."),
    "rejects": ("rejects", "Load, list or retry what CleverTap refused."),
    "import": ("import_segment", "Adopt a segment that exists in CleverTap. Sends nothing."),
    "state": ("state", "Read, edit and check the state."),
    "force-unlock": ("force_unlock", "Break the lock of a run that has died."),
    "doctor": ("doctor", "Check everything that a run depends on."),
    "emulator": ("emulator", "Run a local CleverTap API Segments service."),
    "probe": ("probe", "Find out in a live account what the vendor's pages leave open."),
    "version": ("version", "Print the version."),
    "completion": ("completion", "Print a completion script for a shell."),
    "help": ("help", "Print the help of a command, as --help does."),
}
"""The module in ``segctl.cli`` and the first sentence of the help of each command."""


class LazyGroup(click.Group):
    """A group that lists its commands by name and imports one only to call it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check how the whole command line is spelt, then parse the words before the command."""
        ctx.meta[ARGUMENTS] = tuple(args)
        if not ctx.resilient_parsing:  # as when a shell completes half a line
            check_spelling(ctx, args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of typical use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return its ``command``."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"segctl.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing one."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. The error for an unknown one says what to do, or suggests names."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            if advice := OTHER_COMMANDS.get(error.command_name):
                message = f"There is no command {error.command_name}. {advice}"
                raise click.exceptions.NoSuchCommand(error.command_name, message, ctx=ctx) from None
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=list(COMMANDS), ctx=ctx
            ) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete a command's name without importing one."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - for shells only

        named = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return named + click.Command.shell_complete(self, ctx, incomplete)


def _with_root_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(ROOT_OPTIONS):
        function = option(function)
    return function


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: segctl init",
)
@_with_root_options
@click.version_option(__version__, prog_name="segctl", message="%(prog)s %(version)s")
def cli(**_: object) -> None:
    """Terraform for audience segments: declare them in git, review the plan, apply it."""


def execute(arguments: Sequence[str], signals: TerminationSignals | None = None) -> int:
    """Run one command line and return its exit code. Errors are printed.

    After SIGINT, SIGTERM or SIGHUP, any error counts as the end that the signal requested.
    """
    screen = Screen(no_color="--no-color" in arguments, json_command=_json_command(arguments))
    failure: BaseException | None = None
    try:
        code = cli.main(args=list(arguments), prog_name="segctl", standalone_mode=False, obj=screen)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place for all
        # Imported late: a successful run does not need it.
        from segctl.cli.errors import report  # noqa: PLC0415 - keeps --help quick
        from segctl.core.errors import Unfinished  # noqa: PLC0415 - as above

        # An interrupted run reports its own end, such as what a probe cleaned up.
        ended = signals and signals.received and not isinstance(error, (Unfinished, click.Abort))
        failure = KeyboardInterrupt() if ended else error
        code = report(failure, screen)
    code = code if isinstance(code, int) else 0
    if screen.outputs or (failure and screen.json_command):
        from segctl.cli.json_output import end_outputs  # noqa: PLC0415 - keeps --help quick

        return end_outputs(screen, code, failure)
    return code


def _json_command(arguments: Sequence[str]) -> str:
    """Return the command that is asked for JSON, also if its other arguments are wrong."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--json" not in options:
        return ""
    context = click.Context(cli, info_name="segctl")
    command = split_levels(context, options)[0].end
    return options[command] if command < len(options) else ""


def run() -> None:
    """Run the program ``segctl``."""
    # A umask that denies the owner would deny the program its own scratch files.
    os.umask(os.umask(0o077) & 0o077)
    # The default of 700 looks for garbage hundreds of times while modules and manifests are read,
    # and finds next to none: that takes a tenth of a plan.
    gc.set_threshold(50_000, 20, 20)
    if "_SEGCTL_COMPLETE" in os.environ:  # a shell asks what it can complete
        from segctl.cli.shell_completion import install_completion  # noqa: PLC0415 - only then

        install_completion()
    printed = install()
    signals = TerminationSignals()
    signals.listen()
    code = execute(sys.argv[1:], signals)
    sys.stdout.flush()
    if printed.error and not isinstance(printed.error, BrokenPipeError):
        sys.stderr.write(
            f"Error: standard output cannot be written to: {printed.error.strerror}\n"
            f"  Only the output is lost; the command itself ended with exit code {code}.\n"
        )
        code = code or 1
    sys.stderr.flush()
    sys.exit(code)
