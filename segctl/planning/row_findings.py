"""What is wrong with the rows of a source: problems that prevent a plan, and findings."""

from collections.abc import Iterable

from segctl.core.diagnostics import Diagnostic, Severity
from segctl.core.identity import PROBLEM_DESCRIPTIONS
from segctl.engine.model import LoadStats
from segctl.manifests.desired import InlineSource, Load, SegmentSource, TableLoad, Tolerance
from segctl.plan.model import Figures, Finding
from segctl.planning.source_diagnostics import source_name
from segctl.sources.path_policy import PathPolicy


def row_problems(load: Load, stats: LoadStats, policy: PathPolicy) -> Iterable[Diagnostic]:
    """Yield the problems of a source's rows that prevent a plan."""
    tolerance, location = _tolerance(load), load.source.location
    invalid = sum(stats.invalid.values())
    if invalid and not tolerance.skip:
        for problem, rows in stats.invalid.items():
            first, file = stats.first_rows.get(problem), stats.first_files.get(problem)
            of_file = f" of {policy.display_name(file)}" if file else ""
            yield Diagnostic(
                code=f"invalid-identity-{problem}",
                summary=f"{source_name(load)}: {_count_rows(rows)} with "
                f"{PROBLEM_DESCRIPTIONS[problem]}"
                + (f", the first is row {first:,}{of_file}" if first else ""),
                detail="Fix the data, or set onInvalid: skip to leave such rows out.",
                location=location,
            )
    elif invalid and 100 * invalid > tolerance.max_invalid_percent * stats.rows:
        yield Diagnostic(
            code="too-many-invalid",
            summary=f"{source_name(load)}: {invalid:,} of {_count_rows(stats.rows)} are invalid, "
            f"more than maxInvalidPercent allows ({tolerance.max_invalid_percent:g}%)",
            detail="Fix the data, or raise maxInvalidPercent.",
            location=location,
        )
    if isinstance(load, TableLoad) and stats.undeclared_rows and not load.ignore_other_values:
        values = f"{stats.undeclared:,} other value{'' if stats.undeclared == 1 else 's'}"
        if stats.undeclared_nulls:
            values += f", and {_count_rows(stats.undeclared_nulls)} without a value"
        yield Diagnostic(
            code="undeclared-segment",
            summary=f"{source_name(load)}: {_count_rows(stats.undeclared_rows)} for segments that "
            f"are not declared: {values}",
            detail="Declare them under spec.segments, or set otherValues: ignore. The values are "
            "not shown, since they may be user keys.",
            location=location,
        )


def row_findings(load: Load, stats: LoadStats, *, is_changing: bool) -> list[Finding]:
    """Return what a reviewer should know about the rows of a source.

    If its segments change, one without other findings gets one with its row count,
    unless it is a list or another segment.
    """
    findings = list(_left_out_rows(load, stats))
    is_external = not isinstance(load.source, InlineSource | SegmentSource)
    if not findings and stats.rows and is_external and is_changing:
        findings = [
            Finding(
                severity=Severity.INFO,
                code="rows-read",
                summary=f"{_located_name(load)}: {_count_rows(stats.rows)}, no duplicates",
                figures=_figures(load, stats, stats.rows),
            )
        ]
    return [*findings, *_anomalies(load, stats)]


def _anomalies(load: Load, stats: LoadStats) -> Iterable[Finding]:
    """Yield warnings about what looks wrong in a list. It may be right."""
    name, anomalies = _located_name(load), stats.anomalies
    if files := anomalies.header_lines:
        first = "the first line looks" if files == 1 else f"the first lines of {files:,} files look"
        yield Finding(
            severity=Severity.WARNING,
            code="header-line",
            summary=f"{name}: {first} like a header, and would be a user",
            detail="Every line of a txt is a user. Remove the line, or set format: csv and its "
            "name as column.",
            figures=_figures(load, stats, files),
        )
    if values := anomalies.case_variants:
        about = "about " if anomalies.case_share > 1 else ""
        yield Finding(
            severity=Severity.WARNING,
            code="case-variants",
            summary=f"{name}: {about}{values:,} values differ from another one only in upper and "
            "lower case",
            detail="Each is a user of its own. If they are the same users, write them alike, or "
            "read them with a query: lower(…) AS identity.",
            figures=_figures(load, stats, values),
        )


def _left_out_rows(load: Load, stats: LoadStats) -> Iterable[Finding]:
    """Yield a finding for invalid, duplicate and undeclared rows that are left out."""
    name, total = _located_name(load), _count_rows(stats.rows)
    if stats.invalid and _tolerance(load).skip:
        invalid = sum(stats.invalid.values())
        kinds = ", ".join(
            f"{rows:,} with {PROBLEM_DESCRIPTIONS[p]}" for p, rows in stats.invalid.items()
        )
        yield Finding(
            severity=Severity.WARNING,
            code="rows-skipped",
            summary=f"{name}: {invalid:,} of {total} left out as invalid: {kinds}",
            figures=_figures(load, stats, invalid),
        )
    if stats.duplicates:
        yield Finding(
            severity=Severity.INFO,
            code="duplicate-rows",
            summary=f"{name}: {stats.duplicates:,} of {total} left out as duplicates",
            figures=_figures(load, stats, stats.duplicates),
        )
    if isinstance(load, TableLoad) and load.ignore_other_values and stats.undeclared_rows:
        yield Finding(
            severity=Severity.INFO,
            code="other-values",
            summary=f"{name}: {stats.undeclared_rows:,} of {total} ignored because their segments "
            "are not declared",
            figures=_figures(load, stats, stats.undeclared_rows),
        )


def _located_name(load: Load) -> str:
    return f"{load.source.location}: {source_name(load)}"


def _figures(load: Load, stats: LoadStats, rows: int) -> Figures:
    return Figures(count=rows, of=stats.rows, place=str(load.source.location))


def _count_rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _tolerance(load: Load) -> Tolerance:
    if isinstance(load.source, InlineSource | SegmentSource):
        return Tolerance()
    return load.source.tolerance
