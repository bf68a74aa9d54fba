"""The progress of an apply: a bar on a terminal, plain lines otherwise, or JSON objects."""

import json
import sys
from collections.abc import Callable
from typing import Any, Protocol

from segctl.cli.screen import Screen
from segctl.core.events import (
    ApplyEnded,
    ApplyStarted,
    ApprovalChecked,
    CreateDone,
    Event,
    RateLimited,
    Recovered,
    RequestDone,
    Settling,
    StateNamed,
)
from segctl.core.outcomes import Outcome
from segctl.render import report, stream
from segctl.render.approval_view import check_lines
from segctl.render.phrases import (
    format_count,
    format_duration,
    format_number,
    format_utc,
)

EVERY_SECONDS = 10.0
"""Seconds between progress lines and JSON objects."""


class Tally:
    """The totals of the events of one apply.

    A request that was refused and sent again in parts counts with its parts.
    """

    def __init__(self) -> None:
        self.of_changes = self.of_requests = 0
        self.changes = self.requests = self.throttled = 0

    def count(self, event: Event) -> None:
        """Count one event."""
        match event:
            case ApplyStarted():
                self.of_changes, self.of_requests = event.changes, event.requests
            case RequestDone():
                if event.outcome is Outcome.ACKNOWLEDGED:
                    self.changes += event.changes
                self.requests += 1 + event.parts
                self.of_requests += event.parts
            case RateLimited():
                self.throttled += 1
            case _:
                pass  # has no numbers

    def __str__(self) -> str:
        """Return one line: memberships, requests, and the number of 429 answers."""
        throttled = (
            f", {format_count(self.throttled, 'time')} rate limited" if self.throttled else ""
        )
        changes = format_count(self.of_changes, "membership change")
        requests = format_count(self.of_requests, "request")
        return (
            f"{format_number(self.changes)} of {changes}, "
            f"{format_number(self.requests)} of {requests}{throttled}"
        )


class Progress(Protocol):
    """Observes an apply. ``close`` restores the terminal."""

    def __call__(self, event: Event) -> None:
        """Process and show one event."""

    def close(self) -> None:
        """Stop showing progress."""


class Silence:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Ignore the event."""

    def close(self) -> None:
        """Do nothing."""


class Lines:
    """Plain lines: one for each create request, and one every ten seconds."""

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float]) -> None:
        self._say = say
        self._monotonic = monotonic
        self._tally = Tally()
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Count the event, and print it if it deserves a line."""
        self._tally.count(event)
        match event:
            case Recovered():
                self._say(report.recovered_line(event) + "\n")
            case StateNamed():
                self._say(report.named_line(event) + "\n")
            case ApprovalChecked():
                self._say("".join(f"{line}\n" for line in check_lines(event.check)))
            case ApplyStarted():
                self._next = self._monotonic() + EVERY_SECONDS
            case Settling():
                self._say(settling_line(event) + "\n")
            case CreateDone():
                self._say(report.create_line(event) + "\n")
            case ApplyEnded():
                self._say(f"{self._tally}\n")
            case _ if self._monotonic() >= self._next:
                self._next = self._monotonic() + EVERY_SECONDS
                self._say(f"{self._tally}\n")
            case _:
                pass  # the next line will count it

    def close(self) -> None:
        """Do nothing: plain lines need no cleaning up."""


class Bar:
    """A bar on a terminal: memberships, requests, their rate, 429s, the time left."""

    def __init__(self, monotonic: Callable[[], float], *, color: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - slow, and for terminals only
        from rich.progress import (  # noqa: PLC0415 - as above
            BarColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress  # noqa: PLC0415 - as above

        console = Console(stderr=True, no_color=not color, highlight=False)
        self._bar = RichProgress(
            TextColumn("Applying"),
            BarColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._monotonic = monotonic
        self._started = monotonic()
        self._tally = Tally()
        self._task = self._bar.add_task("apply", total=None, told="", rate="")

    def __call__(self, event: Event) -> None:
        """Count the event and advance the bar. Messages are printed above it."""
        self._tally.count(event)
        match event:
            case Recovered():
                self._print(report.recovered_line(event))
            case StateNamed():
                self._print(report.named_line(event))
            case ApprovalChecked():
                self._print("\n".join(check_lines(event.check)))
            case Settling():
                self._print(settling_line(event))
            case CreateDone():
                self._print(report.create_line(event))
            case ApplyStarted():
                self._started = self._monotonic()
                self._bar.start()
            case ApplyEnded():
                self.close()
            case _:
                pass  # the bar counts it
        seconds = self._monotonic() - self._started
        rate = f"{self._tally.requests / seconds:.1f} requests/s" if seconds >= 1 else ""
        self._bar.update(
            self._task,
            total=max(self._tally.of_changes, 1),
            completed=self._tally.changes,
            told=str(self._tally),
            rate=rate,
        )

    def close(self) -> None:
        """Remove the bar and show the cursor."""
        self._bar.stop()

    def _print(self, line: str) -> None:
        self._bar.console.print(line, markup=False)


class JsonLines:
    """One JSON object per line, on standard output."""

    def __init__(
        self,
        write: Callable[[str], None],
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._write = write
        self._now = now
        self._monotonic = monotonic
        self._tally = Tally()
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Write the event, and the progress every ten seconds."""
        if isinstance(event, StateNamed):
            return  # the end of the apply is the last line
        self._tally.count(event)
        self.send(stream.event_line(event))
        if isinstance(event, ApplyStarted):
            self._next = self._monotonic() + EVERY_SECONDS
        elif isinstance(event, RequestDone) and self._monotonic() >= self._next:
            self._next = self._monotonic() + EVERY_SECONDS
            self.send(
                stream.progress_line(
                    changes=self._tally.changes,
                    of_changes=self._tally.of_changes,
                    requests=self._tally.requests,
                    of_requests=self._tally.of_requests,
                )
            )

    def send(self, line: dict[str, Any]) -> None:
        """Write one object with the time."""
        stamped = {**line, "@timestamp": format_utc(self._now())}
        self._write(json.dumps(stamped) + "\n")


def settling_line(event: Settling) -> str:
    """Return why the apply is waiting."""
    return (
        f"Waiting {format_duration(event.seconds)}: changes that got no answer are not reversed "
        "until a late request can no longer arrive."
    )


def for_people(screen: Screen, monotonic: Callable[[], float]) -> Progress:
    """Return the bar if standard error is a terminal, plain lines otherwise."""
    if sys.stderr.isatty():
        return Bar(monotonic, color=screen.err_style.color)
    return Lines(screen.err, monotonic)
