"""Ctrl-C, SIGTERM and SIGHUP during an apply, sent to a real process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from segctl.cli.interrupts import Interrupts
from segctl.core.stop_signal import StopSignal

ARMED = """
import signal, sys
from segctl.cli.interrupts import Interrupts
from segctl.core.stop_signal import StopSignal

stop = StopSignal()
with Interrupts(stop) as interrupts:
    interrupts.arm()
    print("armed", flush=True)
    while not stop.is_set:
        signal.pause()
    print("stopping", flush=True)
    if "--stay" in sys.argv:
        while True:
            signal.pause()
print("restored", signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
"""


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-c", ARMED, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "armed\n"
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_says_so(number: signal.Signals) -> None:
    with process() as running:
        running.send_signal(number)
        out, err = running.communicate(timeout=10)
    assert out == "stopping\nrestored True\n"
    assert "finishing what is in flight; press again to leave at once" in err
    assert running.returncode == 0


def test_the_second_signal_leaves_at_once() -> None:
    with process("--stay") as running:
        running.send_signal(signal.SIGINT)
        assert running.stdout is not None
        assert running.stdout.readline() == "stopping\n"
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=10)
    assert running.returncode == 130
    assert out == ""
    assert "The journal knows what was sent" in err


def test_a_closed_terminal_never_leaves_at_once() -> None:
    with process("--stay") as running:
        running.send_signal(signal.SIGHUP)
        assert running.stdout is not None
        assert running.stdout.readline() == "stopping\n"
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            running.send_signal(number)
        assert running.stderr is not None
        told = [running.stderr.readline() for _ in range(4)]  # the last is of SIGTERM
        assert "press again" in told[3]
        assert running.poll() is None


def test_an_ignored_signal_stays_ignored() -> None:
    stop = StopSignal()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts(stop) as interrupts:
            interrupts.arm()
            signal.raise_signal(signal.SIGHUP)
        assert not stop.is_set
    finally:
        signal.signal(signal.SIGHUP, before)
