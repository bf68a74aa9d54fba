"""The program itself, as a command for processes of its own."""

import sys

CODE = "from segctl.cli.main import run; run()"
ENTRY = [sys.executable, "-c", CODE]
"""The words that start ``segctl``; its arguments follow."""
