"""Options that several commands share, and the types of their values."""

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segctl.cli.screen import Screen
from segctl.cli.value_types import NonEmptyText as NonEmptyText  # noqa: PLC0414 - re-exported
from segctl.core.errors import WrongUsage
from segctl.core.resources import parse_size
from segctl.render.member_format import Identities
from segctl.render.phrases import MAX_COMMENT_BYTES, MIN_COMMENT_BYTES

if TYPE_CHECKING:
    from segctl.workflows.saved_plans import SavedPlanName

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")


class Duration(click.ParamType[float]):
    """A time such as ``30s``, ``5m``, ``1h`` or a number of seconds, converted to seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert the text. A default that is already a number stays as it is."""
        if isinstance(value, float):
            return value
        if not (found := _DURATION.fullmatch(str(value).strip())):
            self.fail(f"{value!r} is not a time; write seconds, or 30s, 5m, 1h.", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


class Size(click.ParamType[int]):
    """An amount of memory such as ``2GB`` or ``512MiB``, converted to bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert the text. A number of bytes stays as it is."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _set_memory(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    del param
    ctx.ensure_object(Screen).memory = value


def _set_temp_dir(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    del param
    ctx.ensure_object(Screen).temp_dir = value


_ROOM = (
    click.option(
        "--memory-limit",
        metavar="SIZE",
        type=Size(),
        callback=_set_memory,
        expose_value=False,
        help="Spill to disk beyond this: 2GB, 512MiB. Also SEGCTL_MEMORY_LIMIT.  "
        "[default: 60% of what the machine or container has]",
    ),
    click.option(
        "--temp-dir",
        metavar="DIR",
        type=NonEmptyText(),
        callback=_set_temp_dir,
        expose_value=False,
        help="Put scratch files here. Also SEGCTL_TEMP_DIR.  [default: the system's]",
    ),
)


def limits(function: F) -> F:
    """Add the options that limit memory and choose the scratch folder; ``Screen`` stores them."""
    for option in reversed(_ROOM):
        function = option(function)
    return function


def saved_plan(screen: Screen, text: str | None) -> "SavedPlanName | None":
    """Return the saved plan that is named, if one is; see ``parse_plan_name``."""
    return None if text is None else parse_plan_name(screen, text)


def parse_plan_name(screen: Screen, text: str) -> "SavedPlanName":
    """Return the saved plan that is named on the command line: a file, or a digest.

    Raises ``WrongUsage`` for what is not a whole digest.
    """
    from segctl.workflows.saved_plans import (  # noqa: PLC0415 - --help names no plan
        DIGEST_PREFIX,
        SavedPlanName,
        parse_plan_digest,
    )

    if text.startswith(DIGEST_PREFIX):
        return SavedPlanName(text=text, digest=parse_plan_digest(text))
    return SavedPlanName(text=text, file=screen.path(text))


lock_timeout = click.option(
    "--lock-timeout",
    type=Duration(),
    default=0.0,
    metavar="TIME",
    help="Wait this long for the state's lock: 30s, 5m, or seconds.  [default: 0]",
)

dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Print what would be recorded, and write nothing. Needs no lock.",
)

max_duration = click.option(
    "--max-duration",
    type=Duration(),
    metavar="TIME",
    help="End within this time, such as 5h, and exit 3 if something is left; the next run goes on.",
)

targets = click.option(
    "--target",
    "targets",
    metavar="GLOB",
    type=NonEmptyText(),
    multiple=True,
    help="Include only the segments matching this glob. Can be repeated.",
)

excluded = click.option(
    "--exclude",
    "excluded",
    metavar="GLOB",
    type=NonEmptyText(),
    multiple=True,
    help="Leave out the segments matching this glob. Can be repeated.",
)

hold = click.option(
    "--hold",
    is_flag=True,
    help="Leave out the segments that a guard, a rule or an unreadable source refuses, apply the "
    "rest, and exit 6.",
)

reread = click.option(
    "--reread", is_flag=True, help="Read every source again, including unchanged files."
)

identities = click.option(
    "--identities",
    type=click.Choice([mode.value for mode in Identities]),
    help="How to show members: masked shows hashes.  [default: full on a terminal, otherwise "
    "masked]",
)

max_bytes = click.option(
    "--max-bytes",
    type=click.IntRange(min=MIN_COMMENT_BYTES),
    metavar="N",
    help="With --format markdown, print at most this many bytes.  "
    f"[default: {MAX_COMMENT_BYTES:,}, the limit of GitHub]",
)

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON document, also of an error."
)

json_stream = click.option(
    "--json", "as_json", is_flag=True, help="Stream JSON objects, one per line, also of an error."
)

json_into = click.option(
    "--json-into",
    metavar="FILE",
    type=NonEmptyText(),
    help="Write to FILE what --json prints, and print the page for people.",
)

report = click.option(
    "--report",
    metavar="FILE",
    type=NonEmptyText(),
    help="Write a JSON document to FILE about how the run ended.",
)

auto_approve = click.option(
    "--auto-approve", is_flag=True, help="Apply without asking for confirmation."
)


def check_max_bytes(max_bytes: int | None, *, view: str) -> None:
    """Raise ``WrongUsage`` if a size is given for a view that has no limit."""
    if max_bytes is not None and view != "markdown":
        raise WrongUsage(
            f"--max-bytes limits the Markdown comment, and the format is {view}",
            hint="Add --format markdown, or leave --max-bytes out.",
        )


def identities_mode(choice: str | None, *, view: str) -> Identities:
    """Return how to show members: as asked, otherwise in full only in text on a terminal."""
    if choice:
        return Identities(choice)
    terminal = view == "text" and sys.stdout.isatty()
    return Identities.FULL if terminal else Identities.MASKED
