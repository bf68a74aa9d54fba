"""What a CI job shows besides its log: annotations, a code quality report, the step summary."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segctl.cli.options import NonEmptyText
from segctl.cli.screen import Screen
from segctl.core.diagnostics import Diagnostic
from segctl.core.disk import translate_os_errors
from segctl.core.errors import InvalidInput, WrongUsage
from segctl.core.git import path_in_repository
from segctl.core.output_file import OutputFile
from segctl.plan.model import Finding, Plan
from segctl.render import annotations
from segctl.render.member_format import Identities, MemberFormat

if TYPE_CHECKING:
    from segctl.cli.json_output import RunEnd

_SUMMARY = "GITHUB_STEP_SUMMARY"
_OUTPUTS = "GITHUB_OUTPUT"
_SUMMARY_BYTES = 1 << 20
"""GitHub drops the whole summary of a step that is larger."""

_SMALLEST_SUMMARY = 5_000

code_quality = click.option(
    "--code-quality",
    metavar="FILE",
    type=NonEmptyText(),
    help="Write GitLab's Code Quality report to this file.",
)

step_summary = click.option(
    "--step-summary",
    is_flag=True,
    help="Append the plan as Markdown to the summary of the step, GITHUB_STEP_SUMMARY.",
)

step_outputs = click.option(
    "--step-outputs",
    is_flag=True,
    help="Write digest and has-changes to the outputs of the step, GITHUB_OUTPUT.",
)


def annotate_diagnostics(screen: Screen, diagnostics: Iterable[Diagnostic]) -> None:
    """In a workflow of GitHub, show problems at their lines."""
    if _is_github():
        found = annotations.annotate_diagnostics(diagnostics, _workspace(screen))
        screen.annotate(annotations.render_github(found))


def annotate_findings(screen: Screen, findings: Iterable[Finding]) -> None:
    """In a workflow of GitHub, show findings at the lines of their rules and sources."""
    if _is_github():
        found = annotations.annotate_findings(findings, _workspace(screen))
        screen.annotate(annotations.render_github(found))


class CodeQuality:
    """The report that ``--code-quality`` asks for, or none if ``name`` is ``None``.

    It is written when the run ends, also after an error: an old report must not stay.
    """

    def __init__(self, screen: Screen, name: str | None) -> None:
        self._screen = screen
        self._found: list[annotations.Annotation] = []
        if name:
            path = screen.path(name)
            self._file = OutputFile(path, option="--code-quality", stream=False, starts=b"[")
            screen.outputs.append(self)

    def add_diagnostics(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add the problems of the workspace."""
        self._found += annotations.annotate_diagnostics(diagnostics, _workspace(self._screen))

    def add_findings(self, findings: Iterable[Finding]) -> None:
        """Add the findings of a plan that have a place in a manifest."""
        self._found += annotations.annotate_findings(findings, _workspace(self._screen))

    def add_error(self, error: Exception) -> None:
        """Add the problems of an error, if it has any."""
        if isinstance(error, InvalidInput):
            self.add_diagnostics(error.diagnostics)

    def end(self, end: "RunEnd") -> None:
        """Write the report. Raises ``OperationError``."""
        del end
        try:
            self._file.commit(annotations.render_code_quality(self._found).encode())
        finally:
            self._file.close()


class StepSummary:
    """The summary of a step. Raises ``WrongUsage`` if it is ``wanted`` and the job has none."""

    def __init__(self, screen: Screen, *, wanted: bool) -> None:
        self._screen = screen
        self._path = os.environ.get(_SUMMARY, "") if wanted else ""
        if wanted and not self._path:
            raise WrongUsage(
                f"--step-summary needs {_SUMMARY}, which is not set",
                hint="GitHub sets it in each step. Elsewhere, use `segctl plan --format markdown`.",
            )

    def add_plan(self, plan: Plan, identities: MemberFormat) -> None:
        """Append a plan, cut to what the summary can still hold. Members are never in full."""
        if not self._path:
            return
        from segctl.render.comment_page import render_plan  # noqa: PLC0415 - only for a summary

        is_full = identities.mode is Identities.FULL
        shown = replace(identities, mode=Identities.MASKED) if is_full else identities
        self._append(lambda bytes_left: render_plan(plan, identities=shown, max_bytes=bytes_left))

    def add_failure(self, error: Exception) -> None:
        """Append that there is no plan, and why."""
        if not self._path:
            return
        from segctl.render.comment_page import (  # noqa: PLC0415 - only for a summary
            render_failure_comment,
        )

        self._append(
            lambda bytes_left: render_failure_comment(
                error, workspace="", env_name="", max_bytes=bytes_left
            )
        )

    def add_result(self, text: str) -> None:
        """Append the lines of a result as they are."""
        fence = "~~~~~~~~"
        body = text.strip("\n").replace("~~~", "~ ~ ~")
        self._append(lambda bytes_left: f"{fence}text\n{body[: bytes_left // 4]}\n{fence}\n")

    def _append(self, render: Callable[[int], str]) -> None:
        if not self._path:
            return
        path = Path(self._path)
        with translate_os_errors(f"append to {_SUMMARY}"):
            size = path.stat().st_size if path.exists() else 0
            bytes_left = _SUMMARY_BYTES - size - 2
            if bytes_left < _SMALLEST_SUMMARY:
                self._screen.err(f"{_SUMMARY} is full: GitHub shows 1 MiB of a step.\n")
                return
            with path.open("a", encoding="utf-8") as stream:
                stream.write("\n" + render(bytes_left) if size else render(bytes_left))


class StepOutputs:
    """The outputs of a step. Raises ``WrongUsage`` if they are ``wanted`` and the job has none."""

    def __init__(self, *, wanted: bool) -> None:
        self._path = os.environ.get(_OUTPUTS, "") if wanted else ""
        if wanted and not self._path:
            raise WrongUsage(
                f"--step-outputs needs {_OUTPUTS}, which is not set",
                hint="GitHub sets it in each step.",
            )

    def add_plan(self, plan: Plan) -> None:
        """Write ``digest``, empty for a plan that its guards refuse, and ``has-changes``."""
        if not self._path:
            return
        digest = "" if plan.error_findings else plan.digest
        has_changes = "false" if plan.is_empty else "true"
        with (
            translate_os_errors(f"append to {_OUTPUTS}"),
            Path(self._path).open("a", encoding="utf-8") as stream,
        ):
            stream.write(f"digest={digest}\nhas-changes={has_changes}\n")


def _workspace(screen: Screen) -> str:
    return path_in_repository(screen.path(), os.environ) or ""


def _is_github() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"
