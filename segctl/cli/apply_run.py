"""The run that ``apply`` and ``destroy`` share: show the plan, ask, send, report."""

import sys
import time
from collections.abc import Sequence
from typing import Protocol

from segctl.cli.ci_output import StepSummary, annotate_findings
from segctl.cli.interrupts import Interrupts
from segctl.cli.options import identities_mode
from segctl.cli.progress import Progress, Silence, for_people
from segctl.cli.screen import Screen
from segctl.cli.views import plan_view
from segctl.core.errors import SegmentsHeld, WrongUsage
from segctl.core.events import ApplyEnded, Event
from segctl.core.stop_signal import StopSignal
from segctl.plan.holding import HELD_BACK
from segctl.plan.model import Plan
from segctl.render import phrases, report
from segctl.render.member_format import MemberFormat
from segctl.render.style import escaped
from segctl.workflows.apply import apply_workspace
from segctl.workflows.saved_plans import SavedPlanName

_CANCELLED = 1


class Recorder(Protocol):
    """Writes what a run does for programs."""

    def plan(self, plan: Plan) -> None:
        """Write the plan, before it is approved."""

    def event(self, event: Event) -> None:
        """Write an event of the apply."""

    def recorded(self) -> None:
        """Write that the plan changed only the state: nothing had to be sent."""


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
        recorders: Sequence[Recorder] = (),
        progress: Progress | None = None,
        summary: StepSummary | None = None,
    ) -> None:
        self._screen = screen
        self._verb = verb
        self._asks = asks
        self._saved = saved
        self._approved = approved
        self._identities = identities
        self._member_key = ""
        self._recorders = recorders
        self._progress = progress or for_people(screen, time.monotonic)
        self._summary = summary or StepSummary(screen, wanted=False)
        self._place = ""
        self.is_complete = False
        """Whether the plan was for all segments, and everything in it was applied."""
        self._stop = StopSignal()
        self._interrupts = Interrupts(self._stop)

    @property
    def is_approved(self) -> bool:
        """Whether the run has a plan that somebody approved before."""
        return bool(self._saved or self._approved)

    def go(
        self,
        *,
        targets: tuple[str, ...],
        excluded: tuple[str, ...] = (),
        hold: bool = False,
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
                    excluded=excluded,
                    hold=hold,
                    destroy=destroy,
                    reread=reread,
                    lock_timeout=lock_timeout,
                    max_seconds=max_seconds,
                    approve=self.approve,
                    observe=self.observe,
                    stop=self._stop,
                    on_member_key=self._set_member_key,
                )
            finally:
                self._progress.close()
        if applied.plan.is_empty:
            self._tell_plan(applied.plan)
        elif applied.approved and applied.ended is None:
            for recorder in self._recorders:
                recorder.recorded()
            self._recorded()
        self.is_complete = applied.approved and not applied.plan.is_partial
        if applied.approved and applied.plan.held:
            raise _segments_held(applied.plan)
        return 0 if applied.approved else _CANCELLED

    def approve(self, plan: Plan) -> bool:
        """Show the plan and ask for ``yes``, unless approval was given in advance."""
        self._tell_plan(plan)
        self._place = f" in {escaped(plan.env_name)}" if plan.env_name else ""
        if self._asks and not self._answered_yes():
            self._screen.out(f"\n{self._verb.title()} cancelled.\n")
            return False
        self._interrupts.arm()
        return True

    def observe(self, event: Event) -> None:
        """Record the event; show progress, and the report when the apply has ended."""
        for recorder in self._recorders:
            recorder.event(event)
        self._progress(event)
        self._summarize(event)
        if isinstance(event, ApplyEnded):
            self._ended(event)

    def _tell_plan(self, plan: Plan) -> None:
        for recorder in self._recorders:
            recorder.plan(plan)
        self._show(plan)

    def _ended(self, event: ApplyEnded) -> None:
        style = self._screen.out_style
        ended = report.end_report(event, place=self._place, style=style)
        self._screen.out("\n" + self._screen.add_run_options(ended))

    def _show(self, plan: Plan) -> None:
        annotate_findings(self._screen, plan.findings)
        self._summary.add_plan(plan, self._member_format("markdown"))
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
        mode = self._member_format("text")
        page = plan_view(plan, view="text", identities=mode, style=style)
        self._screen.out(self._screen.add_run_options(page))

    def _set_member_key(self, key: str) -> None:
        self._member_key = key

    def _member_format(self, view: str) -> MemberFormat:
        return MemberFormat(mode=identities_mode(self._identities, view=view), key=self._member_key)

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


def _segments_held(plan: Plan) -> SegmentsHeld:
    rest = "nothing else had to be applied" if plan.is_empty else "everything else was applied"
    return SegmentsHeld(
        f"{phrases.held_line(plan).removesuffix('.')}; {rest}",
        findings=[finding for finding in plan.findings if finding.code == HELD_BACK],
        hint="Correct what the plan names first, and plan again.",
    )


class JsonRun(Run):
    """An apply for programs: it never asks, and only its recorders write."""

    def __init__(
        self,
        screen: Screen,
        *,
        verb: str,
        saved: SavedPlanName | None = None,
        approved: SavedPlanName | None = None,
        recorders: Sequence[Recorder],
        summary: StepSummary | None = None,
    ) -> None:
        super().__init__(
            screen,
            verb=verb,
            asks=False,
            saved=saved,
            approved=approved,
            identities=None,
            recorders=recorders,
            progress=Silence(),
            summary=summary,
        )

    def _print(self, plan: Plan) -> None:
        pass  # a recorder has it

    def _recorded(self) -> None:
        pass  # as above

    def _ended(self, event: ApplyEnded) -> None:
        pass  # as above


def check_can_ask(verb: str, *, plan: str = "plan") -> None:
    """Raise ``WrongUsage`` without a terminal; ``plan`` is the command to review with instead."""
    if not sys.stdin.isatty():
        raise WrongUsage(
            f"{verb} asks for the word yes, and standard input is no terminal",
            hint=f"Review with `segctl {plan} --out FILE`, then `segctl apply FILE`; or run "
            f"`segctl {verb} --auto-approve`.",
        )
