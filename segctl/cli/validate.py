"""``segctl validate``: check the workspace and report every problem."""

import click

from segctl.cli import ci_output, options
from segctl.cli.ci_output import CodeQuality, annotate_diagnostics
from segctl.cli.common import common
from segctl.cli.json_output import DocumentFile, check_distinct, check_one_json
from segctl.cli.screen import Screen
from segctl.cli.source_lines import source_lines
from segctl.core.diagnostics import Severity
from segctl.render import diagnostics
from segctl.render.phrases import format_count
from segctl.render.style import escaped
from segctl.workflows.validate import validate_workspace


@click.command("validate", epilog="Example: segctl validate --json")
@click.option(
    "--offline",
    is_flag=True,
    help="Check the manifests alone: parse no query, and look at no file that sources read.",
)
@options.as_json
@options.json_into
@ci_output.code_quality
@common
def command(
    screen: Screen,
    *,
    offline: bool,
    as_json: bool,
    json_into: str | None,
    code_quality: str | None,
) -> int:
    """Check the workspace and report every problem.

    Prints each problem with file, line and column, and exits 1 if there is one.
    Parses queries, and looks whether files and columns are there. Reads no rows,
    runs no program, and connects to no database and no bucket. Documents that are
    not segctl's are skipped and listed.
    """
    check_one_json(as_json=as_json, json_into=json_into)
    check_distinct(screen, json_into=json_into, code_quality=code_quality)
    file = DocumentFile(screen, json_into) if json_into else None
    report = CodeQuality(screen, code_quality)
    loaded = validate_workspace(screen.context(), variables=screen.variables, offline=offline)
    valid = loaded.desired is not None
    report.add_diagnostics(loaded.diagnostics)
    annotate_diagnostics(screen, loaded.diagnostics)
    document = diagnostics.render_validation(loaded.diagnostics, loaded.passed_over, loaded.ignored)
    if as_json:
        screen.out(document)
        return 0 if valid else 1
    if file:
        file.put(document)
    source = source_lines(screen)
    problems = diagnostics.render_text(loaded.diagnostics, style=screen.err_style, source=source)
    screen.err(screen.add_run_options(problems))
    for where in loaded.passed_over:
        screen.err(f"{escaped(where)}: passed over: not one of segctl's documents\n")
    for ignored in loaded.ignored:
        pattern = escaped(ignored.pattern)
        screen.err(f'{escaped(ignored.path)}: passed over: spec.ignore has "{pattern}"\n')
    if loaded.desired is None:
        errors = sum(d.severity is Severity.ERROR for d in loaded.diagnostics)
        screen.err(f"The workspace is not valid: {format_count(errors, 'error')}.\n")
        return 1
    segments = format_count(len(loaded.desired.segments), "segment")
    screen.out(f"The workspace is valid: {segments} in {format_count(loaded.files, 'file')}.\n")
    return 0
