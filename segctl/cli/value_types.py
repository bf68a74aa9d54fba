"""Types of values of options that are light to import."""

from typing import Any

import click

EMPTY = "it is empty. Is a shell variable not set?"


class NonEmptyText(click.ParamType[str]):
    """Text that is not empty, as it is if a shell variable is not set."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text unchanged. Fails if it is empty."""
        if not value:
            self.fail(EMPTY, param, ctx)
        return str(value)
