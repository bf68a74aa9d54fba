"""What ``apply`` and ``destroy`` write for programs: the stream, and the report of the end."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from segctl.cli.apply_run import Recorder
from segctl.cli.json_output import RunEnd, StreamOutput, open_output
from segctl.cli.screen import Screen
from segctl.core.approval import ApprovalCheck
from segctl.core.events import (
    ApplyEnded,
    ApprovalChecked,
    CreateDone,
    Event,
    RateLimited,
    RequestDone,
    StateNamed,
)
from segctl.core.outcomes import Outcome
from segctl.plan.model import Plan
from segctl.render import apply_report, stream
from segctl.render.apply_report import ApplyReport

_LOG = logging.getLogger(__name__)
_OPTION = "--report"


def open_recorders(
    screen: Screen, *, verb: str, as_json: bool, json_into: str | None, report: str | None
) -> list[Recorder]:
    """Open the outputs that were asked for, before anything is sent.

    Raises ``WrongUsage`` and ``OperationError``.
    """
    recorders: list[Recorder] = [LogRecorder()] if _LOG.isEnabledFor(logging.INFO) else []
    if as_json:
        recorders.append(StreamOutput.to_screen(screen))
    if json_into:
        recorders.append(StreamOutput.to_file(screen, json_into))
    if report:
        recorders.append(ReportFile(screen, report, verb=verb))
    return recorders


class LogRecorder:
    """Logs what an apply does, with its numbers as fields."""

    def plan(self, plan: Plan) -> None:
        """Log which plan it is."""
        _LOG.info("plan %s", plan.digest, extra={"digest": plan.digest})

    def event(self, event: Event) -> None:
        """Log an event."""
        if isinstance(event, StateNamed):
            return
        line = stream.event_line(event)
        fields = {"event" if key == "type" else key: line[key] for key in line if key[0] != "@"}
        _LOG.info("%s", line["@message"], extra=fields)

    def recorded(self) -> None:
        """Log that nothing had to be sent."""
        _LOG.info("recorded in the state; nothing had to be sent")


class ReportFile:
    """The report of an apply. Until the end, the file says that it is running.

    A run that is killed therefore never leaves the report of an earlier one.
    """

    def __init__(
        self, screen: Screen, name: str, *, verb: str, now: Callable[[], float] = time.time
    ) -> None:
        self._screen, self._name, self._verb, self._now = screen, name, verb, now
        self._started = now()
        self._plan: Plan | None = None
        self._creates: dict[str, Outcome] = {}
        self._changes: dict[str, Counter[Outcome]] = {}
        self._create_requests: Counter[Outcome] = Counter()
        self._update_requests: Counter[Outcome] = Counter()
        self._throttled = self._parts = 0
        self._ended: ApplyEnded | None = None
        self._approval: ApprovalCheck | None = None
        self._write(None)
        screen.outputs.append(self)

    def plan(self, plan: Plan) -> None:
        """Remember the plan."""
        self._plan = plan

    def event(self, event: Event) -> None:
        """Count the outcomes."""
        match event:
            case CreateDone():
                self._create_requests[event.outcome] += 1
                self._creates |= dict.fromkeys(event.addresses, event.outcome)
            case RequestDone():
                self._update_requests[event.outcome] += 1
                self._parts += event.parts
                for address, counts in event.segments.items():
                    self._changes.setdefault(address, Counter()).update(counts)
            case ApprovalChecked():
                self._approval = event.check
            case RateLimited():
                self._throttled += 1
            case ApplyEnded():
                self._ended = event
                self._parts = event.parts  # those of creates too
            case _:
                pass  # changes no count

    def recorded(self) -> None:
        """Do nothing: the plan says that nothing had to be sent."""

    def end(self, end: RunEnd) -> None:
        """Write the report. Raises ``OperationError``."""
        self._approval = end.approval or self._approval
        self._write(end)

    def _write(self, end: RunEnd | None) -> None:
        report = ApplyReport(
            command=self._verb,
            started_at=self._started,
            ended_at=self._now() if end else None,
            exit_code=end.code if end else None,
            plan=self._plan,
            creates=self._creates,
            changes=self._changes,
            create_requests=self._create_requests,
            update_requests=self._update_requests,
            throttled=self._throttled,
            parts=self._parts,
            sending_seconds=self._ended.seconds if self._ended else None,
            diagnostics=end.diagnostics if end else (),
            approval=self._approval,
        )
        file = open_output(self._screen, self._name, option=_OPTION, stream=False)
        with closing(file):
            if end or not file.is_pipe:
                file.commit(apply_report.render(report).encode())
