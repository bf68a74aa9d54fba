"""The options that every command takes."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from segctl.cli.options import Given
from segctl.cli.screen import Screen
from segctl.core.errors import OperationError
from segctl.render.style import escaped

P = ParamSpec("P")
R = TypeVar("R")

LOG_LEVELS = ("debug", "info", "warning", "error")


def _variables(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter("write it as NAME=VALUE.", ctx=ctx, param=param)
        pairs[name] = text
    return pairs


_COMMON = (
    click.option(
        "-C",
        "--chdir",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False),
        default=".",
        help="Work in this folder; other paths are relative to it.",
    ),
    click.option(
        "--var",
        "variables",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_variables,
        help="Set a variable. Can be repeated.",
    ),
    click.option(
        "-e",
        "--env",
        "env_name",
        metavar="NAME",
        type=Given(),
        help="Choose one of spec.environments. Also SEGCTL_ENV.",
    ),
    click.option(
        "--trusted-config",
        metavar="FILE|REF",
        type=Given(),
        help="Compare segctl.yaml with this copy, and refuse programs, folders, databases and "
        "hosts that it does not have: a path, or a revision such as origin/main. Also "
        "SEGCTL_TRUSTED_CONFIG.",
    ),
    click.option("--no-color", is_flag=True, help="Print without colors, as NO_COLOR does."),
    click.option(
        "--log-level",
        type=click.Choice(LOG_LEVELS),
        default="warning",
        help="How much to log to standard error.",
    ),
)


def common(function: Callable[Concatenate[Screen, P], R]) -> Callable[..., R]:
    """Add the common options to a command, and pass it the ``Screen`` they configure."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        values: dict[str, Any] = kwargs
        screen = click.get_current_context().ensure_object(Screen)
        screen.folder = values.pop("chdir")
        _check_here()
        screen.command = click.get_current_context().command_path.partition(" ")[2]
        screen.variables = values.pop("variables")
        screen.trusted_config = values.pop("trusted_config")
        screen.env_name = values.pop("env_name")
        screen.no_color = values.pop("no_color") or screen.no_color
        _log(values.pop("log_level"), screen)
        return function(screen, *args, **kwargs)

    for option in reversed(_COMMON):
        wrapper = option(wrapper)
    return wrapper


def _check_here() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise OperationError(
            "the current folder no longer exists", hint="Change to another folder first."
        ) from None


def _log(level: str, screen: Screen) -> None:
    screen.debug = level == "debug"
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _ToScreen)]:
        root.removeHandler(handler)
    root.addHandler(_ToScreen(screen))
    root.setLevel(level.upper())


class _ToScreen(logging.Handler):
    """Writes log records, with their time, to the screen's standard error."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, with line breaks and control characters escaped."""
        self._screen.err(escaped(self.format(record)) + "\n")
