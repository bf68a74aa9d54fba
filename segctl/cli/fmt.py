"""``segctl fmt``: rewrite the manifests in canonical form."""

import difflib
from collections.abc import Iterator

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.screen import Screen
from segctl.cli.source_lines import source_lines
from segctl.core.diagnostics import Diagnostic, Severity
from segctl.core.errors import WrongUsage
from segctl.manifests.formatter import format_file
from segctl.render import diagnostics
from segctl.render.json_document import diagnostic_object
from segctl.render.style import Style, escaped
from segctl.workflows.validate import read_manifests, rewrite_manifest

DIFFERENT = 1


@click.command("fmt", epilog="Example: segctl fmt --check --diff")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Print what changes.")
@options.as_json
@common
def command(screen: Screen, *, check: bool, diff: bool, as_json: bool) -> int:
    """Rewrite the manifests in canonical form.

    Keeps comments and values, and ignores documents that are not segctl's. Prints
    the files that change.
    """
    if as_json and diff:
        raise WrongUsage("--json and --diff exclude each other")
    context = screen.context()
    files = read_manifests(context)
    problems: list[Diagnostic] = list(files.diagnostics)
    changed: list[str] = []
    for file, content in files.contents.items():
        formatted = format_file(file, content)
        problems += formatted.diagnostics
        if formatted.text is None or formatted.text.encode() == content:
            continue
        changed.append(file)
        if not as_json:
            screen.out(f"{escaped(file)}\n")
        if diff:
            before = content.decode("utf-8-sig")
            screen.out("".join(_diff(file, before, formatted.text, screen.out_style)))
        if not check:
            rewrite_manifest(context, file, formatted.text)
    failed = any(problem.severity is Severity.ERROR for problem in problems)
    code = DIFFERENT if failed or (check and changed) else 0
    if as_json:
        found = [diagnostic_object(problem) for problem in problems]
        print_facts(screen, written=not check, changed=changed, diagnostics=found)
        return code
    source = source_lines(screen)
    screen.err(diagnostics.render_text(problems, style=screen.err_style, source=source))
    return code


def _diff(file: str, before: str, after: str, style: Style) -> Iterator[str]:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"a/{file}", f"b/{file}", lineterm=""
    )
    paint = {"+": style.green, "-": style.red, "@": style.cyan}
    for line in lines:
        yield paint.get(line[:1], str)(escaped(line)) + "\n"
