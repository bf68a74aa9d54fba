"""Where a run prints, and in what style. Light to import, since every run creates one."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from segctl.core.errors import OperationError
from segctl.core.runner_marks import RUNNER_MARK

if TYPE_CHECKING:
    from pathlib import Path

    from segctl.cli.json_output import Output
    from segctl.core.events import Event
    from segctl.core.resources import ResourceLimits
    from segctl.render.style import Style
    from segctl.session.context import Context

_LINE_END = r"\n\r\v\f\x85\u2028\u2029"
_RUNNER_COMMAND = re.compile(rf"((?:^|(?<=[{_LINE_END}]))[^\S{_LINE_END}]*)(::)")
"""What GitHub reads as a command at the beginning of a line; text of a service may contain it.

Its runner ends lines at a carriage return too, and skips white space of any kind.
"""

_RUNNERS = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")
"""The variables by which a CI job is known, of any forge, GitHub, Azure and TeamCity."""

_MEMORY, _TEMP_DIR = "SEGCTL_MEMORY_LIMIT", "SEGCTL_TEMP_DIR"
_TRUSTED_CONFIG, _ENV = "SEGCTL_TRUSTED_CONFIG", "SEGCTL_ENV"


class Screen:
    """Standard output for results, standard error for everything else.

    Writing never fails: ``streams.py`` replaces both streams. ``json_command`` is the command if
    standard output is to be JSON, else empty. ``outputs`` are the outputs for programs.
    ``variable_words`` are the options that set ``variables``, as they were typed.
    """

    def __init__(self, *, no_color: bool = False, json_command: str = "") -> None:
        self.json_command = json_command
        self.outputs: list[Output] = []
        self.has_output = False
        self.folder = "."
        self.variables: Mapping[str, str] = {}
        self.variable_words: tuple[str, ...] = ()
        self.trusted_config: str | None = None
        self.env_name: str | None = None
        self.no_color = no_color
        self.command = ""
        self.debug = False
        self.memory: int | None = None
        self.temp_dir: str | None = None
        self._annotated: set[str] = set()
        self.traceback = bool(os.environ.get("SEGCTL_TRACEBACK"))

    def out(self, text: str) -> None:
        """Write a result to standard output."""
        self.has_output = True
        _write(sys.stdout, text)

    def out_exact(self, text: str) -> None:
        """Write a result that is data to standard output, as it is.

        Raises ``OperationError`` in a CI job if its runner would read a command in it.
        """
        if _for_runner(text) != text and any(os.environ.get(name) for name in _RUNNERS):
            raise OperationError(
                "the output has text that the runner of this CI job would read as a command",
                hint="Nothing was printed. Name files instead of -.",
            )
        self.has_output = True
        sys.stdout.write(text)
        sys.stdout.flush()

    @property
    def is_closed(self) -> bool:
        """Whether standard output no longer takes anything, as after ``| head``."""
        outlet = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
        return getattr(outlet, "error", None) is not None

    def err(self, text: str) -> None:
        """Write a message to standard error."""
        _write(sys.stderr, text)

    def annotate(self, commands: str) -> None:
        """Write commands for the CI runner to standard error, each line once.

        Nothing is escaped here: see ``render/annotations.py``.
        """
        new = [line for line in commands.split("\n") if line and line not in self._annotated]
        self._annotated.update(new)
        sys.stderr.write("".join(f"{line}\n" for line in new))
        sys.stderr.flush()

    def tell(self, event: "Event") -> None:
        """Print what happened to the state besides the command. An observer of events."""
        from segctl.core.events import Recovered, StateNamed  # noqa: PLC0415 - --help needs none
        from segctl.render import report  # noqa: PLC0415 - as above

        if isinstance(event, Recovered):
            self.err(report.recovered_line(event) + "\n")
        elif isinstance(event, StateNamed):
            self.err(report.named_line(event) + "\n")

    @property
    def out_style(self) -> "Style":
        """How to emphasise on standard output."""
        return self._style(sys.stdout)

    @property
    def err_style(self) -> "Style":
        """How to emphasise on standard error."""
        return self._style(sys.stderr)

    def path(self, name: str = "") -> "Path":
        """Return the path of a file named on the command line, relative to ``--chdir``."""
        from pathlib import Path  # noqa: PLC0415 - --help names no file

        return Path(self.folder, name)

    def command_line(self, command: str, *operands: str, options: Sequence[str] = ()) -> str:
        """Return a command line to paste, with this run's folder and environment."""
        from segctl.core.command_line import command_line  # noqa: PLC0415 - --help prints none

        return command_line(
            command,
            *operands,
            folder=self.folder,
            env_name=self.env_name or "",
            options=options,
        )

    def add_run_options(self, text: str) -> str:
        """Return a message whose commands, in backticks, have the -C and the -e of this run."""
        if self.folder == "." and not self.env_name:
            return text
        from segctl.core.command_line import add_run_options  # noqa: PLC0415 - as above

        return add_run_options(text, folder=self.folder, env_name=self.env_name or "")

    def context(self) -> "Context":
        """Return what a workflow needs from outside: environment, clock, random numbers, limits."""
        import random  # noqa: PLC0415 - --help needs none of these

        from segctl.core.clock import SystemClock  # noqa: PLC0415 - as above
        from segctl.session.context import Context  # noqa: PLC0415 - as above

        env_name = self._named(self.env_name, _ENV) or ""
        return Context(
            root=self.path(),
            environment=os.environ,
            clock=SystemClock(),
            chance=random.random,
            command=f"segctl {self.command}" + (f" -e {env_name}" if env_name else ""),
            limits=self._limits(),
            trusted_config=self._named(self.trusted_config, _TRUSTED_CONFIG),
            env_name=env_name,
        )

    def _limits(self) -> "ResourceLimits":
        """Return the limits set by options, or else by the environment."""
        from segctl.core.errors import WrongUsage  # noqa: PLC0415 - --help needs none of these
        from segctl.core.resources import ResourceLimits, parse_size  # noqa: PLC0415 - as above

        memory, folder, told = self.memory, self.temp_dir, "--temp-dir"
        if memory is None and (given := os.environ.get(_MEMORY)):
            _check_whitespace(_MEMORY, given)
            try:
                memory = parse_size(given)
            except ValueError as error:
                raise WrongUsage(f"{_MEMORY}: {error}") from error
        if folder is None:
            folder, told = os.environ.get(_TEMP_DIR), _TEMP_DIR
            _check_whitespace(_TEMP_DIR, folder or "")
        if not folder:
            return ResourceLimits(memory=memory)
        path = self.path(folder)
        if not path.is_dir():
            raise WrongUsage(
                f"{told}: there is no folder {path}", hint="Create it, or name another folder."
            )
        return ResourceLimits(memory=memory, folder=path)

    def _named(self, option: str | None, variable: str) -> str | None:
        """Return the value of an option, or else of its variable, which must not be empty."""
        named = option or os.environ.get(variable)
        if named == "":
            from segctl.core.errors import WrongUsage  # noqa: PLC0415 - --help needs none

            raise WrongUsage(f"{variable} is empty", hint="Set it, or unset it.")
        if named and not option:
            _check_whitespace(variable, named)
        return named

    def _style(self, stream: TextIO) -> "Style":
        from segctl.render.style import COLOR, PLAIN  # noqa: PLC0415 - --help needs none

        return COLOR if _wants_color(stream, no_color=self.no_color) else PLAIN


def _check_whitespace(variable: str, value: str) -> None:
    """Raise ``WrongUsage`` for a variable with leading or trailing white space."""
    if value != value.strip():
        from segctl.core import whitespace  # noqa: PLC0415 - rarely needed
        from segctl.core.errors import WrongUsage  # noqa: PLC0415 - as above

        problem = whitespace.describe_surrounding_whitespace(variable, value)
        raise WrongUsage(problem, hint=whitespace.REMOVE_WHITESPACE)


def _wants_color(stream: TextIO, *, no_color: bool) -> bool:
    if no_color or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _write(stream: TextIO, text: str) -> None:
    stream.write(_for_runner(text))
    stream.flush()


def _for_runner(text: str) -> str:
    """Return ``text`` without what a CI runner reads as a command."""
    if "::" in text:
        text = _RUNNER_COMMAND.sub(r"\1| \2", text)
    if "##" in text:
        # In JSON, the mark is within a string, and an escape does not change its value.
        is_json = text.lstrip()[:1] == "{"
        text = RUNNER_MARK.sub(r"#\\u0023" if is_json else "# #", text)
    return text
