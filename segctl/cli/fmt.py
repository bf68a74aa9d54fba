"""``segctl fmt``: rewrite the manifests in canonical form."""

import difflib
import sys
from collections.abc import Sequence

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.screen import Screen
from segctl.cli.source_lines import source_lines
from segctl.core.diagnostics import Diagnostic, Severity
from segctl.core.errors import WrongUsage
from segctl.manifests.formatter import format_file
from segctl.manifests.named_files import NamedFiles
from segctl.manifests.yaml_reader import MAX_BYTES
from segctl.render import diagnostics
from segctl.render.json_document import diagnostic_object
from segctl.render.style import Style, escaped
from segctl.workflows.validate import read_manifests, read_named_files, rewrite_manifest

DIFFERENT = 1
STANDARD_INPUT = "-"


@click.command("fmt", epilog="Example: segctl fmt --check --diff")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=options.NonEmptyText())
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Print what changes.")
@options.as_json
@common
def command(
    screen: Screen, *, files: tuple[str, ...], check: bool, diff: bool, as_json: bool
) -> int:
    """Rewrite the manifests in canonical form.

    Rewrites those of the workspace, or the FILEs and the manifests in folders that are
    named; - formats standard input to standard output. Keeps comments and values, and
    ignores documents that are not segctl's. Prints the files that change.
    """
    if as_json and (diff or STANDARD_INPUT in files):
        raise WrongUsage("--json excludes --diff, and - for standard input")
    if files == (STANDARD_INPUT,):
        return _format_input(screen, check=check, diff=diff)
    if STANDARD_INPUT in files:
        raise WrongUsage("- is standard input, and is formatted alone")
    context = screen.context()
    found = read_named_files(context, files) if files else read_manifests(context)
    passed_over = found.passed_over if isinstance(found, NamedFiles) else {}
    problems = list(found.diagnostics)
    changed = []
    for file, content in found.contents.items():
        formatted = format_file(file, content)
        problems += formatted.diagnostics
        if formatted.text is None or formatted.text.encode() == content:
            continue
        changed.append(file)
        if not check:
            rewrite_manifest(context, file, formatted.text)
        if not as_json:
            difference = _diff(file, content, formatted.text, screen.out_style) if diff else ""
            screen.out(f"{escaped(file)}\n{difference}")
    code = DIFFERENT if _has_error(problems) or (check and changed) else 0
    if as_json:
        print_facts(
            screen,
            written=not check,
            changed=changed,
            passed_over=list(passed_over),
            diagnostics=[diagnostic_object(problem) for problem in problems],
        )
        return code
    _print_problems(screen, problems)
    screen.err("".join(f"{escaped(n)}: passed over: {why}\n" for n, why in passed_over.items()))
    return code


def _format_input(screen: Screen, *, check: bool, diff: bool) -> int:
    """Format standard input to standard output, and return the exit code."""
    name = "standard input"
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not content.strip():
        return 0
    formatted = format_file(name, content)
    _print_problems(screen, formatted.diagnostics)
    if formatted.text is None:
        return DIFFERENT
    is_changed = formatted.text.encode() != content
    if diff:
        screen.out(_diff(name, content, formatted.text, screen.out_style) if is_changed else "")
    elif not check:
        screen.out_exact(formatted.text)
    return DIFFERENT if _has_error(formatted.diagnostics) or (check and is_changed) else 0


def _has_error(problems: Sequence[Diagnostic]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _print_problems(screen: Screen, problems: Sequence[Diagnostic]) -> None:
    source = source_lines(screen)
    screen.err(diagnostics.render_text(problems, style=screen.err_style, source=source))


def _diff(file: str, content: bytes, after: str, style: Style) -> str:
    lines = difflib.unified_diff(
        content.decode("utf-8-sig").splitlines(),
        after.splitlines(),
        f"a/{file}",
        f"b/{file}",
        lineterm="",
    )
    paint = {"+": style.green, "-": style.red, "@": style.cyan}
    return "".join(paint.get(line[:1], str)(escaped(line)) + "\n" for line in lines)
