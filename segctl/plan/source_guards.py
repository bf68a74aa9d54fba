"""Check the sizes of sources: a list that shrank, is too short, or matches nobody.

A list of opt-outs that shrinks makes members of people who asked to be left alone, so these
findings are errors where that could happen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segctl.core.diagnostics import Severity
from segctl.manifests.desired import SizeLimits
from segctl.plan.model import Figures, Finding, Users
from segctl.state.restrictions import Restriction, pair_restrictions


@dataclass(frozen=True, kw_only=True)
class SourceSize:
    """A source with its limits. ``rows`` counts its distinct valid rows.

    ``place`` is its location in the manifests. ``setting`` limits its loss; without one, a loss is
    only a warning.
    """

    name: str
    place: str
    rows: int
    limits: SizeLimits
    setting: str | None


@dataclass(frozen=True, kw_only=True)
class RestrictionSize:
    """A source that takes members away, and the members that look like one of its values."""

    size: SourceSize
    restriction: Restriction
    similar: Users = Users()


def check_min_rows(sources: Sequence[SourceSize]) -> Iterator[Finding]:
    """Yield an error for each source with fewer rows than its ``minRows``."""
    for source in sources:
        if source.rows < source.limits.min_rows:
            yield Finding(
                severity=Severity.ERROR,
                code="min-rows",
                summary=f"{source.place}: {source.name} has {_rows(source.rows)}, fewer than "
                f"minRows requires ({source.limits.min_rows:,})",
                detail="Restore the rows. If so few are right, lower minRows.",
                figures=Figures(
                    count=source.rows, limit=source.limits.min_rows, place=source.place
                ),
            )


def check_restrictions(
    recorded: Sequence[Restriction], current: Sequence[RestrictionSize]
) -> Iterator[Finding]:
    """Yield what a reviewer must know of sources that take members away.

    ``recorded`` are those of the last apply.
    """
    for known, index in pair_restrictions(recorded, [item.restriction for item in current]):
        if index is None:
            if known and known.rows:
                yield _removed(known)
            continue
        yield from _check_restriction(known, current[index])


def _check_restriction(known: Restriction | None, item: RestrictionSize) -> Iterator[Finding]:
    size, restriction = item.size, item.restriction
    before = known.rows if known else 0
    percent = 100 * (before - size.rows) / before if before else 0.0
    if percent > size.limits.max_shrink_percent:
        yield _shrunk(item, before, percent)
    elif not size.rows:
        yield Finding(
            severity=Severity.WARNING,
            code="restriction-without-rows",
            address=_address(restriction),
            summary=f"{size.place}: {size.name} has no rows, so {_effect_of_nothing(restriction)}",
            detail="Set minRows: 1 to refuse a plan with an empty list.",
            figures=Figures(count=0, place=size.place),
        )
    if restriction.role == "intersect" or not size.rows:
        return
    if restriction.matched == 0 and known and known.matched:
        yield Finding(
            severity=Severity.WARNING,
            code="restriction-matches-nobody",
            address=_address(restriction),
            summary=f"{size.place}: {size.name} has {_rows(size.rows)}, and none of them is a "
            f"member; at the last apply {known.matched:,} were",
            detail="Check that it holds the same kind of value as the members, in the same form.",
            figures=Figures(count=0, of=known.matched, place=size.place),
        )
    similar = item.similar.count or restriction.similar
    if similar:
        yield Finding(
            severity=Severity.WARNING,
            code="similar-values",
            address=_address(restriction),
            summary=f"{size.place}: {_members(similar)} from a value of {size.name} only in "
            "form, and not left out: case, accents, white space, invisible characters, a leading "
            "+ or zeros, or identity instead of guid",
            detail="Values are compared as written. To compare them in another form, set "
            "normalize on this source: [lower], [nfc], [trim], [strip-plus], [strip-zeros].",
            sample=item.similar.sample,
            figures=Figures(count=similar, place=size.place),
        )


def _shrunk(item: RestrictionSize, before: int, percent: float) -> Finding:
    size = item.size
    what = "no rows" if not size.rows else f"only {_rows(size.rows)}"
    summary = (
        f"{size.place}: {size.name} has {what}, and had {before:,} at the last apply: "
        f"a loss of {percent:.1f}%"
    )
    effect = "Users who were left out would become members."
    if item.restriction.role == "intersect":
        effect = "Members would be removed."
    if size.setting:
        summary += f", more than {size.setting} allows ({size.limits.max_shrink_percent:g}%)"
        effect += f" Restore the list. If the loss is intended, raise {size.setting} for one apply."
    return Finding(
        severity=Severity.ERROR if size.setting else Severity.WARNING,
        code="max-shrink-percent",
        address=_address(item.restriction),
        summary=summary,
        detail=effect,
        figures=Figures(
            count=before - size.rows,
            of=before,
            limit=int(before * size.limits.max_shrink_percent / 100),
            place=size.place,
        ),
    )


def _removed(known: Restriction) -> Finding:
    of = f" of {known.segments[0]}" if known.segments else ""
    return Finding(
        severity=Severity.WARNING,
        code="restriction-removed",
        address=_address(known),
        summary=f"{known.role}{of}: {known.name} is no longer declared; it had "
        f"{_rows(known.rows)} at the last apply",
        detail="Users who were left out become members."
        if known.role != "intersect"
        else "Members are no longer limited to its rows.",
        figures=Figures(count=known.rows, segments=known.segments),
    )


def _address(restriction: Restriction) -> str | None:
    return restriction.segments[0] if restriction.segments else None


def _effect_of_nothing(restriction: Restriction) -> str:
    return "nobody is a member" if restriction.role == "intersect" else "nobody is left out"


def _members(count: int) -> str:
    return "1 member differs" if count == 1 else f"{count:,} members differ"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
