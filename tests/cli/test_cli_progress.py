"""Progress: plain lines where nobody watches, JSON for machines, a bar on a terminal."""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from segctl.cli.progress import Bar, JsonLines, Lines, Tally
from segctl.core.events import ApplyEnded, ApplyStarted, CreateDone, Event, RateLimited, RequestDone
from segctl.core.outcomes import Outcome

STARTED = ApplyStarted(creates=1, requests=4, changes=400)
CREATED = CreateDone(addresses=("segment.gold",), outcome=Outcome.ACKNOWLEDGED)
ENDED = ApplyEnded(
    acknowledged=4, refused=0, failed=0, uncertain=0, not_tried=0, changes=400, seconds=14.0
)


def request(number: int) -> RequestDone:
    return RequestDone(request=number, outcome=Outcome.ACKNOWLEDGED, changes=100)


def test_the_parts_of_a_refused_request_count_as_sent_and_as_to_send() -> None:
    tally = Tally()
    tally.count(STARTED)
    tally.count(replace(request(0), parts=6))
    assert str(tally) == "100 of 400 membership changes, 7 of 10 requests"


class Ticks:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run_of_events(clock: Ticks) -> Iterator[Event]:
    yield STARTED
    yield CREATED
    yield request(0)
    clock.now += 9.9
    yield request(1)
    yield RateLimited(call="updateSegment", seconds=0.5)
    clock.now += 0.2
    yield request(2)
    yield request(3)
    yield ENDED


def test_lines_tell_each_create_then_every_ten_seconds_and_the_end() -> None:
    said: list[str] = []
    clock = Ticks()
    lines = Lines(said.append, clock)
    for event in run_of_events(clock):
        lines(event)
    assert said == [
        "Created segment.gold\n",
        "300 of 400 membership changes, 3 of 4 requests, 1 time rate limited\n",
        "400 of 400 membership changes, 4 of 4 requests, 1 time rate limited\n",
    ]


def test_json_is_one_object_a_line_with_progress_every_ten_seconds() -> None:
    written: list[str] = []
    clock = Ticks()
    lines = JsonLines(written.append, lambda: 1_800_000_000.25, clock)
    for event in run_of_events(clock):
        lines(event)
    objects = [json.loads(line) for line in written]
    assert [line["type"] for line in objects] == [
        "apply_start",
        "batch_complete",
        "batch_complete",
        "batch_complete",
        "rate_limited",
        "batch_complete",
        "apply_progress",
        "batch_complete",
        "apply_complete",
    ]
    assert {line["@timestamp"] for line in objects} == {"2027-01-15T08:00:00.250Z"}
    assert objects[6]["changes"] == 300


def test_the_bar_counts_to_the_end_and_leaves_the_cursor_visible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    clock = Ticks()
    bar = Bar(clock, color=False)
    for event in run_of_events(clock):
        bar(event)
    bar.close()
    shown = terminal.getvalue()
    assert "Created segment.gold" in shown
    assert "400 of 400 membership changes, 4 of 4 requests, 1 time rate limited" in shown
    assert "0.4 requests/s" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
