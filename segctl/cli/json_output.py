"""What a run writes for programs: JSON on standard output, and in files named by options.

Each output is opened before the run does anything and ended by ``main.execute``, which knows the
exit code, so that a failure is in it too.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import click

from segctl import __version__
from segctl.cli.errors import report
from segctl.cli.progress import JsonLines
from segctl.cli.screen import Screen
from segctl.core.approval import ApprovalCheck
from segctl.core.dataclass import dataclass
from segctl.core.disk import to_operation_error
from segctl.core.errors import BeyondApproval, SegctlError, WrongUsage
from segctl.core.events import Event
from segctl.core.output_file import OutputFile
from segctl.plan.model import Plan
from segctl.render import json_document, stream

STREAMS = ("apply", "destroy")
"""The commands that print one JSON object a line; the others print a document."""


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """How a run ended: its exit code, and the error with its diagnostics if it failed.

    ``approval`` is how today's plan compares with the approved one, if it goes beyond.
    """

    code: int
    diagnostics: Sequence[Mapping[str, Any]] = ()
    approval: ApprovalCheck | None = None

    @classmethod
    def build(cls, code: int, error: BaseException | None) -> "RunEnd":
        """Return the end of a run with this exit code and error."""
        return cls(
            code=code,
            diagnostics=error_diagnostics(error) if error else (),
            approval=error.check if isinstance(error, BeyondApproval) else None,
        )


class Output(Protocol):
    """An output for programs that ends with the run."""

    def end(self, end: RunEnd) -> None:
        """Write the end. Raises ``OperationError``."""


class DocumentFile:
    """A JSON document in a file that is complete or not there."""

    def __init__(self, screen: Screen, name: str) -> None:
        self._text = ""
        self._file = open_output(screen, name, option="--json-into", stream=False)
        screen.outputs.append(self)

    def put(self, text: str) -> None:
        """Set the document."""
        self._text = text

    def end(self, end: RunEnd) -> None:
        """Write the document, or the error in its place."""
        text = self._text
        if end.diagnostics:
            text = json_document.error_document(end.diagnostics, exit_code=end.code)
        try:
            if text:
                self._file.commit(text.encode())
        finally:
            self._file.close()


class StreamOutput:
    """The stream of an apply, on standard output or in a file. Flushed line by line."""

    def __init__(self, write: Callable[[str], None], *, file: OutputFile | None = None) -> None:
        self._lines = JsonLines(write, time.time, time.monotonic)
        self._file = file
        self._lines.send(stream.version_line(__version__))

    @classmethod
    def to_screen(cls, screen: Screen) -> "StreamOutput":
        """Return a stream on standard output."""
        output = cls(screen.out)
        screen.outputs.append(output)
        return output

    @classmethod
    def to_file(cls, screen: Screen, name: str) -> "StreamOutput":
        """Return a stream in a file."""
        file = open_output(screen, name, option="--json-into", stream=True)
        output = cls(lambda text: file.send(text.encode()), file=file)
        screen.outputs.append(output)
        return output

    def plan(self, plan: Plan) -> None:
        """Write the findings, changes and summary of the plan."""
        for line in stream.plan_lines(plan):
            self._lines.send(line)

    def event(self, event: Event) -> None:
        """Write an event of the apply."""
        self._lines(event)

    def recorded(self) -> None:
        """Write that nothing had to be sent."""
        self._lines.send(stream.recorded_line())

    def end(self, end: RunEnd) -> None:
        """Write the error, if there is one. Raises ``OperationError`` if lines were lost."""
        if end.approval:
            self._lines.send(stream.approval_line(end.approval))
        for diagnostic in end.diagnostics:
            self._lines.send(stream.diagnostic_line(diagnostic))
        if not self._file:
            return
        self._file.close()
        if self._file.error:
            raise to_operation_error(
                self._file.error, f"write all of --json-into {self._file.path}"
            )


def end_outputs(screen: Screen, code: int, error: BaseException | None) -> int:
    """End all outputs for programs and return the exit code.

    ``code`` is that of the run. If it is 0 and an output cannot be written, it becomes 1.
    """
    end = RunEnd.build(code, error)
    outputs: list[Output] = list(screen.outputs)
    if error and screen.json_command in STREAMS:
        if not any(isinstance(output, StreamOutput) for output in outputs):
            outputs.append(StreamOutput(screen.out))
    elif error and screen.json_command and not screen.has_output:
        # Half a document and an error would be no document.
        screen.out(json_document.error_document(end.diagnostics, exit_code=code))
    result = code
    for output in outputs:
        try:
            output.end(end)
        except SegctlError as problem:
            failed = report(problem, screen)
            result = result or failed
    return result


def error_diagnostics(error: BaseException) -> list[dict[str, Any]]:
    """Return an error as diagnostics. A bug's text is left out, because it could quote anything."""
    match error:
        case SegctlError():
            return list(json_document.error_objects(error))
        case click.ClickException():
            return [json_document.plain_error("wrong-usage", error.format_message())]
        case click.Abort() | KeyboardInterrupt() | EOFError():
            return [json_document.plain_error("interrupted", "the run was interrupted")]
        case _:
            summary = f"segctl met an error that it did not expect: {type(error).__name__}"
            detail = "This is a bug. Run the command with SEGCTL_TRACEBACK=1 and report it."
            return [json_document.plain_error("internal-error", summary, detail)]


def open_output(screen: Screen, name: str, *, option: str, stream: bool) -> OutputFile:
    """Open a file for programs. Raises ``WrongUsage`` if it is standard output."""
    path = screen.path(name)
    if name == "-" or _is_standard_output(path):
        raise WrongUsage(
            f"{option}: standard output has the page for people",
            hint="Name a file, or print JSON alone with --json.",
        )
    return OutputFile(path, option=option, stream=stream)


def _is_standard_output(path: "os.PathLike[str]") -> bool:
    with suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(1))  # noqa: PTH116 - as of a descriptor
    return False


def check_distinct(screen: Screen, **names: str | None) -> None:
    """Raise ``WrongUsage`` if two options name one file; the keywords are the options."""
    seen: dict[str, str] = {}
    for option, name in names.items():
        if name is None:
            continue
        path = os.path.realpath(screen.path(name))
        flag = option if option == "FILE" else "--" + option.replace("_", "-")
        if path in seen:
            raise WrongUsage(f"{seen[path]} and {flag} name the same file")
        seen[path] = flag


def check_one_json(*, as_json: bool, json_into: str | None) -> None:
    """Raise ``WrongUsage`` for ``--json`` and ``--json-into`` in one command."""
    if as_json and json_into:
        raise WrongUsage("--json and --json-into exclude each other", hint="Give one of them.")


def print_facts(screen: Screen, **values: Any) -> None:
    """Print the JSON document of a command."""
    screen.out(json_document.facts(**values))
