"""The run that ``apply`` and ``destroy`` share: show the plan, ask, send, report."""

import sys
import time

from segctl import __version__
from segctl.cli.ci_output import StepSummary, annotate_findings
from segctl.cli.interrupts import Interrupts
from segctl.cli.options import identities_mode
from segctl.cli.progress import JsonLines, Progress, for_people
from segctl.cli.screen import Screen
from segctl.cli.views import plan_view
from segctl.core.errors import SegctlError, WrongUsage
from segctl.core.events import ApplyEnded, Event
from segctl.core.stop_signal import StopSignal
from segctl.plan.model import Plan
from segctl.render import phrases, report, stream
from segctl.render.style import escaped
from segctl.workflows.apply import apply_workspace
from segctl.workflows.saved_plans import SavedPlanName

_CANCELLED = 1


class Run:
    """One apply on the command line: shows the plan, asks, and reports the result."""

    def __init__(
        self,
        screen: Screen,
        *,
        verb: str,
        asks: bool,
        saved: SavedPlanName | None = None,
        approved: SavedPlanName | None = None,
        identities: str | None,
        progress: Progress | None = None,
        summary: StepSummary | None = None,
    ) -> None:
        self._screen = screen
        self._verb = verb
        self._asks = asks
        self._saved = saved
        self._approved = approved
        self._identities = identities
        self._progress = progress or for_people(screen, time.monotonic)
        self._summary = summary or StepSummary(screen, wanted=False)
        self._place = ""
        self._stop = StopSignal()
        self._interrupts = Interrupts(self._stop)

    def go(
        self,
        *,
        targets: tuple[str, ...],
        destroy: bool,
        lock_timeout: float,
        reread: bool = False,
        max_seconds: float | None = None,
    ) -> int:
        """Run the apply and return the exit code. Raises the errors of ``apply_workspace``."""
        with self._interrupts:
            try:
                applied = apply_workspace(
                    self._screen.context(),
                    saved=self._saved,
                    approved=self._approved,
                    variables=self._screen.variables,
                    targets=targets,
                    destroy=destroy,
                    reread=reread,
                    lock_timeout=lock_timeout,
                    max_seconds=max_seconds,
                    approve=self.approve,
                    observe=self.observe,
                    stop=self._stop,
                )
            finally:
                self._progress.close()
        if applied.plan.is_empty:
            self._show(applied.plan)
        elif applied.approved and applied.ended is None:
            self._recorded()
        return 0 if applied.approved else _CANCELLED

    def approve(self, plan: Plan) -> bool:
        """Show the plan and ask for ``yes``, unless approval was given in advance."""
        self._show(plan)
        self._place = f" in {escaped(plan.env_name)}" if plan.env_name else ""
        if self._asks and not self._answered_yes():
            self._screen.out(f"\n{self._verb.title()} cancelled.\n")
            return False
        self._interrupts.arm()
        return True

    def observe(self, event: Event) -> None:
        """Show progress, and the report when the apply has ended."""
        self._progress(event)
        self._summarize(event)
        if isinstance(event, ApplyEnded):
            style = self._screen.out_style
            self._screen.out("\n" + report.end_report(event, place=self._place, style=style))

    def _show(self, plan: Plan) -> None:
        annotate_findings(self._screen, plan.findings)
        self._summary.add_plan(plan, identities_mode(self._identities, view="markdown"))
        self._print(plan)

    def _summarize(self, event: Event) -> None:
        if isinstance(event, ApplyEnded):
            self._summary.add_result(report.end_report(event, place=self._place))

    def _print(self, plan: Plan) -> None:
        style = self._screen.out_style
        if self._saved and not plan.is_empty:
            lines = phrases.saved_plan_lines(plan, escaped(self._saved.text))
            self._screen.out("".join(f"{line}\n" for line in lines))
            return
        mode = identities_mode(self._identities, view="text")
        self._screen.out(plan_view(plan, view="text", identities=mode, style=style))

    def _recorded(self) -> None:
        style = self._screen.out_style
        done = style.green(style.bold("Apply complete."))
        self._screen.out(f"\n{done} Recorded in the state; nothing had to be sent.\n")

    def _answered_yes(self) -> bool:
        style = self._screen.out_style
        self._screen.out(
            f"\n{style.bold(f'Do you want to {self._verb} this{self._place}?')}\n"
            "  segctl will send the changes shown above. Only 'yes' is taken for a yes.\n\n"
            f"  {style.bold('Enter a value:')} "
        )
        return sys.stdin.readline().strip() == "yes"


class JsonRun(Run):
    """An apply that streams JSON objects and never asks."""

    def __init__(
        self,
        screen: Screen,
        *,
        verb: str,
        saved: SavedPlanName | None = None,
        approved: SavedPlanName | None = None,
        summary: StepSummary | None = None,
    ) -> None:
        self._stream = JsonLines(screen.out, time.time, time.monotonic)
        super().__init__(
            screen,
            verb=verb,
            asks=False,
            saved=saved,
            approved=approved,
            identities=None,
            progress=self._stream,
            summary=summary,
        )

    def go(
        self,
        *,
        targets: tuple[str, ...],
        destroy: bool,
        lock_timeout: float,
        reread: bool = False,
        max_seconds: float | None = None,
    ) -> int:
        """Run the apply and return the exit code. Errors are also written to the stream."""
        self._stream.send(stream.version_line(__version__))
        try:
            return super().go(
                targets=targets,
                destroy=destroy,
                lock_timeout=lock_timeout,
                reread=reread,
                max_seconds=max_seconds,
            )
        except SegctlError as error:
            for line in stream.error_lines(error):
                self._stream.send(line)
            raise

    def observe(self, event: Event) -> None:
        """Write the event to the stream."""
        self._progress(event)
        self._summarize(event)

    def _print(self, plan: Plan) -> None:
        for line in stream.plan_lines(plan):
            self._stream.send(line)

    def _recorded(self) -> None:
        self._stream.send(stream.recorded_line())


def check_can_ask(verb: str, *, plan: str = "plan") -> None:
    """Raise ``WrongUsage`` without a terminal; ``plan`` is the command to review with instead."""
    if not sys.stdin.isatty():
        raise WrongUsage(
            f"{verb} asks for the word yes, and standard input is no terminal",
            hint=f"Review with `segctl {plan} --out FILE`, then `segctl apply FILE`; or run "
            f"`segctl {verb} --auto-approve`.",
        )
