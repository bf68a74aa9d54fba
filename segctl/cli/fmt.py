"""``segctl fmt``: rewrite the manifests in canonical form."""

import difflib
from collections.abc import Iterator

import click

from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.cli.source_lines import source_lines
from segctl.core.diagnostics import Diagnostic, Severity
from segctl.manifests.formatter import format_file
from segctl.render import diagnostics
from segctl.render.style import Style, escaped
from segctl.workflows.validate import read_manifests, rewrite_manifest

DIFFERENT = 1


@click.command("fmt", epilog="Example: segctl fmt --check --diff")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Print what changes.")
@common
def command(screen: Screen, *, check: bool, diff: bool) -> int:
    """Rewrite the manifests in canonical form.

    Keeps comments and values, and ignores documents that are not segctl's. Prints
    the files that change.
    """
    context = screen.context()
    files = read_manifests(context)
    problems: list[Diagnostic] = list(files.diagnostics)
    changed = 0
    for file, content in files.contents.items():
        formatted = format_file(file, content)
        problems += formatted.diagnostics
        if formatted.text is None or formatted.text.encode() == content:
            continue
        changed += 1
        screen.out(f"{escaped(file)}\n")
        if diff:
            before = content.decode("utf-8-sig")
            screen.out("".join(_diff(file, before, formatted.text, screen.out_style)))
        if not check:
            rewrite_manifest(context, file, formatted.text)
    source = source_lines(screen)
    screen.err(diagnostics.render_text(problems, style=screen.err_style, source=source))
    failed = any(problem.severity is Severity.ERROR for problem in problems)
    return DIFFERENT if failed or (check and changed) else 0


def _diff(file: str, before: str, after: str, style: Style) -> Iterator[str]:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"a/{file}", f"b/{file}", lineterm=""
    )
    paint = {"+": style.green, "-": style.red, "@": style.cyan}
    for line in lines:
        yield paint.get(line[:1], str)(escaped(line)) + "\n"
