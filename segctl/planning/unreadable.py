"""The sources of a plan that cannot be read, with one problem for each database or bucket."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic
from segctl.core.errors import InvalidInput
from segctl.core.listing import list_first
from segctl.manifests.desired import Load

MAX_PLACES = 3
"""How many of the sources that need a database or a bucket are named."""


@dataclass(frozen=True, kw_only=True)
class SourceProblem:
    """Why a source cannot be read.

    ``service`` is the database or bucket if all that needs it fails for this reason. ``support`` is
    why the source is read, if no planned segment has it.
    """

    load: Load
    diagnostic: Diagnostic
    service: str = ""
    support: str = ""


class UnreadableSources(InvalidInput):
    """Sources cannot be read. ``problems`` are by source, ``diagnostics`` also by service."""

    def __init__(self, problems: Sequence[SourceProblem], *, hint: str = "") -> None:
        super().__init__([diagnostic for diagnostic, _ in merge_problems(problems)])
        self.problems = tuple(problems)
        self.hint = hint


def merge_problems(
    problems: Iterable[SourceProblem],
) -> Iterator[tuple[Diagnostic, tuple[Load, ...]]]:
    """Yield each problem with its sources; those of one database or bucket are one problem."""
    groups: dict[object, list[SourceProblem]] = {}
    for number, problem in enumerate(problems):
        groups.setdefault(problem.service or number, []).append(problem)
    for group in groups.values():
        first, loads = group[0], tuple(problem.load for problem in group)
        detail = [first.diagnostic.detail]
        if len(group) > 1:
            detail.append(f"{_list_places(loads)}.")
        if all(problem.support for problem in group):
            detail.append(first.support)
        yield replace(first.diagnostic, detail=" ".join(filter(None, detail))), loads


def _list_places(loads: Sequence[Load]) -> str:
    """Return how many sources need a database or a bucket, and where the first of them are."""
    places = [str(load.source.location) for load in loads]
    return f"{len(places):,} sources need it: {list_first(places, MAX_PLACES)}"
