"""The options that every command takes."""

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from segctl import __version__
from segctl.cli.log import install_log, parse_log_setting
from segctl.cli.root_options import (
    ENVIRONMENT_OPTION,
    FOLDER_OPTION,
    OUTPUT_OPTIONS,
    check_folder,
    environment_name,
    root_value,
)
from segctl.cli.screen import Screen
from segctl.cli.value_types import NonEmptyText
from segctl.cli.variables import VARIABLE_OPTIONS, read_variables, variable_words
from segctl.core.errors import OperationError

P = ParamSpec("P")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)


_COMMON = (
    FOLDER_OPTION,
    *VARIABLE_OPTIONS,
    ENVIRONMENT_OPTION,
    click.option(
        "--trusted-config",
        metavar="FILE|REF",
        type=NonEmptyText(),
        help="Compare segctl.yaml with this copy, and refuse programs, folders, databases and "
        "hosts that it does not have: a path, or a revision such as origin/main. Also "
        "SEGCTL_TRUSTED_CONFIG.",
    ),
    *OUTPUT_OPTIONS,
)


def common(function: Callable[Concatenate[Screen, P], R]) -> Callable[..., R]:
    """Add the common options to a command, and pass it the ``Screen`` they configure."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        values: dict[str, Any] = kwargs
        ctx = click.get_current_context()
        screen = ctx.ensure_object(Screen)
        screen.folder, screen.env_name = check_folder(ctx), environment_name(ctx)
        _check_here()
        screen.command = ctx.command_path.partition(" ")[2]
        screen.trusted_config = values.pop("trusted_config")
        screen.no_color = values.pop("no_color") or screen.no_color
        level, log_format = (
            values.pop(name) or root_value(ctx, name) for name in ("log_level", "log_format")
        )
        _start_log(screen, level, log_format)
        screen.variables, screen.variable_words = read_variables(screen, ctx), variable_words(ctx)
        for name in ("folders", "env_names", "variables", "variable_files"):
            del values[name]
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
