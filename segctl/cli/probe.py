"""``segctl probe``: learn from a live account what no page of the vendor says."""

import signal
import sys

import click

from segctl.cli.common import common
from segctl.cli.options import Duration
from segctl.cli.screen import Screen
from segctl.core.errors import Interrupted, OperationError, WrongUsage
from segctl.probing.report import ProbeReport, Write
from segctl.render import probe_view
from segctl.workflows.probe import find_probe_target, keep_files, make_folder, run_probe


@click.command("probe", epilog="Example: segctl probe --out what-we-learned")
@click.option("--yes", is_flag=True, help="Ask before no write: say yes to all of them.")
@click.option("--out", metavar="DIR", help="A new folder for the report.  [default: by its name]")
@click.option(
    "--patience",
    type=Duration(),
    default=120.0,
    metavar="TIME",
    help="Wait this long for an event: 30s, 5m, or seconds.  [default: 2m]",
)
@common
def command(screen: Screen, *, yes: bool, out: str | None, patience: float) -> int:
    """Learn from a live account what no page of the vendor says.

    Makes two throw-away segments, which only the dashboard can delete, and tries on
    them how the service treats what its pages leave open. Says what that costs and
    asks before each write. Writes a report, a settings file for `segctl emulator
    --settings`, and what belongs into segctl.yaml. Needs CLEVERTAP_ACCOUNT_ID and
    CLEVERTAP_PASSCODE; CLEVERTAP_BASE_URL or the workspace names the service.
    """
    if not yes and not sys.stdin.isatty():
        raise WrongUsage(
            "probe asks before each write, and standard input is no terminal",
            hint="Run it on a terminal; or run `segctl probe --yes`, which asks nothing.",
        )
    context = screen.context()
    target = find_probe_target(context, variables=screen.variables)
    style = screen.out_style
    screen.out(
        probe_view.render_announcement(
            host=target.host, account=target.account, stem=target.stem, style=style
        )
    )
    asker = Asker(screen, yes=yes)
    if not asker.begin():
        screen.out("\nProbe cancelled; nothing was sent.\n")
        return 1
    folder = screen.path(out or target.stem)
    make_folder(context, folder)
    # SIGTERM as Ctrl-C: members must not stay behind for it.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = run_probe(
            context, target, approve=asker.approve, note=asker.note, patience=patience
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    keep_files(
        context,
        folder,
        {
            probe_view.REPORT_FILE: probe_view.render_report(report),
            probe_view.SETTINGS_FILE: probe_view.render_emulator_settings(report),
            probe_view.CLIENT_FILE: probe_view.render_client_settings(report),
        },
    )
    screen.out("\n" + probe_view.render_summary(report, style=style))
    screen.out(
        f"\n{probe_view.render_client_settings(report)}\n"
        f"The report is {folder / probe_view.REPORT_FILE}. An emulator like this service:\n"
        f"  segctl emulator --settings {folder / probe_view.SETTINGS_FILE}\n"
    )
    _conclude(report)
    return 0


def _conclude(report: ProbeReport) -> None:
    """Raise what keeps the probe from being complete."""
    advice = "Delete the segments listed above in the dashboard." if report.shells else ""
    if report.interrupted:
        raise Interrupted("interrupted; what was learned is in the report", hint=advice)
    if report.problem:
        raise OperationError(f"the probe ended early: {report.problem}", hint=advice)


class Asker:
    """Asks on the terminal before each write, until somebody says yes to all."""

    def __init__(self, screen: Screen, *, yes: bool) -> None:
        self._screen = screen
        self._all = yes

    def begin(self) -> bool:
        """Ask for the word yes, before anything is sent."""
        if self._all:
            return True
        self._screen.out("\nDo you want that? Only 'yes' is taken for a yes: ")
        return _line() == "yes"

    def approve(self, write: Write) -> bool:
        """Ask for one write; y and a are a yes, everything else is a no."""
        asked = probe_view.render_question(write)
        if self._all:
            self._screen.out(f"  {asked}\n")
            return True
        self._screen.out(f"\n{asked}\n  [y]es, [n]o, [a]ll from here on: ")
        answer = _line().lower()
        self._all = answer in {"a", "all"}
        return self._all or answer in {"y", "yes"}

    def note(self, text: str) -> None:
        """Say what takes long."""
        self._screen.out(f"  {text}\n")


def _line() -> str:
    """Read an answer; raises ``EOFError`` where nobody is there to give one."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()
