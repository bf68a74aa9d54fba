"""The program itself, as a command for processes of its own."""

import sys

# A test run that was started in the background hands down ignored signals.
_AS_FROM_A_SHELL = (
    "import signal\n"
    "for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):\n"
    "    signal.signal(number, signal.SIG_DFL)\n"
)
CODE = f"{_AS_FROM_A_SHELL}from segctl.cli.main import run; run()"
ENTRY = [sys.executable, "-c", CODE]
"""The words that start ``segctl``; its arguments follow."""
