"""Options that several commands share, and the types of their values."""

import re
import sys
from typing import Any

import click

from segctl.render.phrases import Identities

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")


class Duration(click.ParamType[float]):
    """A time such as ``30s``, ``5m``, ``1h`` or plain seconds; gives seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it; a default that is a number already stays."""
        if isinstance(value, float):
            return value
        if not (found := _DURATION.fullmatch(str(value).strip())):
            self.fail(f"{value!r} is no time; write seconds, or 30s, 5m, 1h.", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


class Given(click.ParamType[str]):
    """Text that is not empty: what an unset shell variable leaves behind is a mistake."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it as it is."""
        if not value:
            self.fail("it is empty; is a variable of the shell not set?", param, ctx)
        return str(value)


lock_timeout = click.option(
    "--lock-timeout",
    type=Duration(),
    default=0.0,
    metavar="TIME",
    help="Wait this long for the state's lock: 30s, 5m, or seconds.  [default: 0]",
)

targets = click.option(
    "--target",
    "targets",
    metavar="GLOB",
    type=Given(),
    multiple=True,
    help="Look at the segments picked by this glob only; may be repeated.",
)

identities = click.option(
    "--identities",
    type=click.Choice([mode.value for mode in Identities]),
    help="How members are shown.  [default: full on a terminal, else masked]",
)

auto_approve = click.option(
    "--auto-approve", is_flag=True, help="Apply without asking for the word yes."
)


def identities_mode(choice: str | None, *, view: str) -> Identities:
    """Decide how members are shown: as asked, else in full in text on a terminal only."""
    if choice:
        return Identities(choice)
    terminal = view == "text" and sys.stdout.isatty()
    return Identities.FULL if terminal else Identities.MASKED
