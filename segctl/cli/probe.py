"""``segctl probe``: find out in a live account what the vendor's pages leave open."""

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.options import Duration
from segctl.cli.screen import Screen
from segctl.core.errors import Interrupted, OperationError, WrongUsage
from segctl.probing.report import ProbeReport, Write
from segctl.render import probe_view
from segctl.workflows.probe import find_probe_target, keep_files, make_folder, run_probe


@click.command("probe", epilog="Example: segctl probe --out what-we-learned")
@click.option("--yes", is_flag=True, help="Do not ask before writes: approve all of them.")
@click.option(
    "--out", metavar="DIR", help="A new folder for the report.  [default: named after the probe]"
)
@click.option(
    "--patience",
    type=Duration(),
    default=120.0,
    metavar="TIME",
    help="Wait this long for an event: 30s, 5m, or seconds.  [default: 2m]",
)
@options.as_json
@common
def command(screen: Screen, *, yes: bool, out: str | None, patience: float, as_json: bool) -> int:
    """Find out in a live account what the vendor's pages leave open.

    Creates three throw-away segments, which only the dashboard can delete, and tries
    out with them what the vendor's pages leave open. Prints what that costs and asks
    before each write. Writes a report, a settings file for `segctl emulator
    --settings`, and settings for segctl.yaml. Needs CLEVERTAP_ACCOUNT_ID and
    CLEVERTAP_PASSCODE; CLEVERTAP_BASE_URL or the workspace names the service.
    """
    if as_json and not yes:
        raise WrongUsage("--json cannot ask; add --yes, which approves every write")
    if not yes and not sys.stdin.isatty():
        raise WrongUsage(
            "probe asks before each write, and standard input is no terminal",
            hint="Run it on a terminal, or run `segctl probe --yes`, which does not ask.",
        )
    context = screen.context()
    target = find_probe_target(context, variables=screen.variables)
    style = screen.out_style
    say = screen.err if as_json else screen.out
    say(
        probe_view.render_announcement(
            host=target.host, account=target.account, stem=target.stem, style=style
        )
    )
    asker = Asker(say, yes=yes)
    if not asker.begin():
        screen.out("\nProbe cancelled; nothing was sent.\n")
        return 1
    folder = screen.path(out or target.stem)
    make_folder(context, folder)
    with _ended_like_ctrl_c():
        report = run_probe(
            context, target, approve=asker.approve, note=asker.note, patience=patience
        )
    keep_files(
        context,
        folder,
        {
            probe_view.REPORT_FILE: probe_view.render_report(report),
            probe_view.SETTINGS_FILE: probe_view.render_emulator_settings(report),
            probe_view.CLIENT_FILE: probe_view.render_client_settings(report),
        },
    )
    if as_json:
        print_facts(screen, folder=str(folder), **probe_view.report_object(report))
        _conclude(report)
        return 0
    screen.out("\n" + probe_view.render_summary(report, style=style))
    screen.out(
        f"\n{probe_view.render_client_settings(report)}\n"
        f"The report is {folder / probe_view.REPORT_FILE}. An emulator like this service:\n"
        f"  segctl emulator --settings {shlex.quote(str(folder / probe_view.SETTINGS_FILE))}\n"
    )
    _conclude(report)
    return 0


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that members are removed; keep ignored ones."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    handled = [n for n, handler in handlers.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, handlers[number])


def _conclude(report: ProbeReport) -> None:
    """Raise an error if the probe is incomplete."""
    advice = "Delete the segments listed above in the dashboard." if report.shells else ""
    if report.interrupted:
        raise Interrupted("interrupted; what was learned is in the report", hint=advice)
    if report.problem:
        raise OperationError(f"the probe ended early: {report.problem}", hint=advice)


class Asker:
    """Asks on the terminal before each write, until the user approves all."""

    def __init__(self, say: Callable[[str], None], *, yes: bool) -> None:
        self._say = say
        self._all = yes

    def begin(self) -> bool:
        """Ask for ``yes`` before anything is sent."""
        if self._all:
            return True
        self._say("\nDo you want that? Only 'yes' is taken for a yes: ")
        return _line() == "yes"

    def approve(self, write: Write) -> bool:
        """Ask about one write. ``y`` and ``a`` approve it, everything else declines."""
        asked = probe_view.render_question(write)
        if self._all:
            self._say(f"  {asked}\n")
            return True
        self._say(f"\n{asked}\n  [y]es, [n]o, [a]ll from here on: ")
        answer = _line().lower()
        self._all = answer in {"a", "all"}
        return self._all or answer in {"y", "yes"}

    def note(self, text: str) -> None:
        """Print a progress message."""
        self._say(f"  {text}\n")


def _line() -> str:
    """Read an answer. Raises ``EOFError`` at the end of input."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()
