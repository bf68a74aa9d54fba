"""The options that every command takes."""

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from segctl import __version__
from segctl.cli.log import FORMATS, LEVELS, install_log, parse_log_setting
from segctl.cli.options import Given
from segctl.cli.screen import Screen
from segctl.core.errors import OperationError

P = ParamSpec("P")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)


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
        type=click.Choice(LEVELS),
        help="How much to log to standard error. Also SEGCTL_LOG.  [default: warning]",
    ),
    click.option(
        "--log-format",
        type=click.Choice(FORMATS),
        help="How to log: json has one object per line. Also SEGCTL_LOG.  [default: text]",
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
        _start_log(screen, values.pop("log_level"), values.pop("log_format"))
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


def _start_log(screen: Screen, level: str | None, log_format: str | None) -> None:
    """Start the log: options first, then the environment."""
    setting = parse_log_setting(os.environ.get("SEGCTL_LOG", ""))
    level = level or setting.level
    screen.debug = level == "debug"
    install_log(screen, level=level, log_format=log_format or setting.log_format)
    _LOG.debug("%s", screen.command, extra={"version": __version__, "command": screen.command})
