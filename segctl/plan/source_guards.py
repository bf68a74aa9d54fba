"""Check the sizes of sources, and whether a source still takes away whom it took away before.

A list of opt-outs that loses rows makes members of people who asked to be left alone. So the
findings are errors where that would happen.
"""

from collections.abc import Iterator, Sequence

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.core.list_samples import count_hashes
from segctl.manifests.desired import SizeLimits
from segctl.plan.model import Figures, Finding, Users
from segctl.plan.overrides import (
    OF_SOURCES,
    Excess,
    OverrideClock,
    OverridePlace,
    resolve,
)
from segctl.state.restrictions import Restriction, RestrictionKey


@dataclass(frozen=True, kw_only=True)
class SourceSize:
    """A source with its limits. ``rows`` counts its distinct valid rows.

    ``place`` is its location in the manifests. ``setting`` limits its loss; without one, a loss is
    only a warning. ``is_external`` is false for lists in manifests and for other segments.
    ``segments`` have members from it, or lose members by it; empty for the whole workspace.
    """

    name: str
    place: str
    rows: int
    limits: SizeLimits
    setting: str | None
    is_external: bool
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RestrictionSize:
    """A source that takes members away.

    ``released`` counts the users of the last apply's sample that the plan adds now, ``similar``
    the members that look like one of its values, and ``dropped`` the values of the last apply's
    sample that it no longer has.
    """

    size: SourceSize
    key: RestrictionKey
    released: int = 0
    similar: Users = Users()
    dropped: int = 0


_NO_OVERRIDE = OverridePlace(override=None, path="spec", place="segctl.yaml")


def check_sizes(sources: Sequence[SourceSize]) -> Iterator[Finding]:
    """Yield an error for each source with fewer rows than ``minRows``, a warning for no rows."""
    for source in sources:
        if source.rows < source.limits.min_rows:
            yield Finding(
                severity=Severity.ERROR,
                code="min-rows",
                summary=f"{source.place}: {source.name} has {_rows(source.rows)}, fewer than "
                f"minRows requires ({source.limits.min_rows:,})",
                detail="Restore the rows. If so few are right, lower minRows.",
                figures=Figures(
                    count=source.rows,
                    limit=source.limits.min_rows,
                    segments=source.segments,
                    place=source.place,
                ),
            )
        elif not source.rows and source.is_external:
            yield Finding(
                severity=Severity.WARNING,
                code="source-without-rows",
                summary=f"{source.place}: {source.name} has no rows",
                detail="Check the source. Set minRows: 1 to refuse a plan while it has none.",
                figures=Figures(count=0, place=source.place),
            )


def check_restriction(
    known: Restriction | None,
    restriction: Restriction,
    item: RestrictionSize,
    at: OverridePlace | None,
    clock: OverrideClock,
) -> Iterator[Finding]:
    """Yield what a reviewer must know of a source that takes members away.

    ``known`` is what the last apply recorded of it. ``at`` is the override for it, or its place.
    """
    if known:
        yield from _check_loss(known, item, at or _NO_OVERRIDE, clock)
    if not restriction.rows:
        return
    size, address = item.size, _address(item.key)
    if restriction.matched == 0 and known and known.matched:
        yield Finding(
            severity=Severity.WARNING,
            code="restriction-matches-nobody",
            address=address,
            summary=f"{size.place}: {size.name} has {_rows(size.rows)}, but matches no member; at "
            f"the last apply it matched {known.matched:,}",
            detail="Check that it holds the same kind of value as the members, in the same form.",
            figures=Figures(count=0, of=known.matched, place=size.place),
        )
    if restriction.similar:
        count = restriction.similar
        look = "1 member looks" if count == 1 else f"{count:,} members look"
        they = "it is" if count == 1 else "they are"
        yield Finding(
            severity=Severity.WARNING,
            code="similar-values",
            address=address,
            summary=f"{size.place}: {look} like a value of {size.name} in another form; "
            f"{they} not left out",
            detail="Forms differ in case, Unicode composition, white space, invisible characters, "
            "a leading + or zeros, or in guid and identity. Values are compared as written. If "
            "they are the same users, set normalize on this source, such as normalize: [lower].",
            sample=item.similar.sample,
            figures=Figures(count=count, place=size.place),
        )


def removed_restriction(known: Restriction, added: int) -> Finding:
    """Return the warning that a source that took members away is no longer declared.

    ``added`` counts its remembered values that the plan adds.
    """
    key, sampled = known.key, count_hashes(known.listed)
    effect = ""
    if added:
        count = _scaled(added, sampled, known.rows)
        users = f"{_about(sampled, known.rows)}{count:,} user{'' if count == 1 else 's'}"
        effect = f"; {users} of it become{'s' if count == 1 else ''} members"
    of = f" of {key.segments[0]}" if key.segments else ""
    return Finding(
        severity=Severity.WARNING,
        code="restriction-removed",
        address=_address(key),
        summary=f"{key.role}{of}: {key.name} is no longer declared; it had {_rows(known.rows)} "
        f"at the last apply{effect}",
        detail="Users whom only this source left out become members. If they are to stay out, "
        "declare it again.",
        figures=Figures(count=known.rows, segments=key.segments),
    )


@dataclass(frozen=True, kw_only=True)
class _Loss:
    """What a source lost since the last apply, scaled from samples to all values and users.

    ``fewer`` rows, ``dropped`` values, and ``released`` users who were left out and are added now.
    """

    fewer: int
    dropped: int
    released: int
    values_percent: float
    users_percent: float

    @property
    def percent(self) -> float:
        """The larger share."""
        return max(self.values_percent, self.users_percent)


def _measure_loss(known: Restriction, item: RestrictionSize) -> _Loss:
    fewer = max(known.rows - item.size.rows, 0)
    sampled = count_hashes(known.listed)
    return _Loss(
        fewer=fewer,
        dropped=_scaled(item.dropped, sampled, known.rows),
        released=_scaled(item.released, len(known.sample), known.matched or 0),
        values_percent=max(_percent(fewer, known.rows), _percent(item.dropped, sampled)),
        users_percent=_percent(item.released, len(known.sample)),
    )


def _check_loss(
    known: Restriction, item: RestrictionSize, at: OverridePlace, clock: OverrideClock
) -> Iterator[Finding]:
    """Compare with the limit: rows, values, and the users who were taken away and are added now."""
    size, loss = item.size, _measure_loss(known, item)
    if not loss.percent:
        return
    summary = f"{size.place}: {size.name} {_describe_loss(known, item, loss)}"
    effect = "The plan adds users whom it left out before."
    if item.key.role == "intersect":
        effect = "The plan removes members who are no longer in it."
    limit = size.limits.max_shrink_percent
    if loss.values_percent >= loss.users_percent:
        count, total = max(loss.fewer, loss.dropped), known.rows
    else:
        count, total = item.released, len(known.sample)
    figures = Figures(
        count=count,
        of=total,
        limit=int(total * limit / 100),
        segments=size.segments,
        place=size.place,
    )
    is_refused = loss.percent > limit
    if is_refused and size.setting:
        percent = f"{loss.percent:.2f}".rstrip("0").rstrip(".")
        excess = Excess(
            code=OF_SOURCES,
            text=f"{summary}; that is a loss of {percent}%",
            guard=f"and {size.setting} allows {limit:g}%",
            figures=figures,
            needs={"shrink_percent": loss.percent},
            advice=f"{effect} If not, restore the list.",
        )
        yield from resolve([excess], at, clock)
    else:
        yield Finding(
            severity=Severity.WARNING if is_refused else Severity.INFO,
            code="restriction-shrunk",
            address=_address(item.key),
            summary=summary,
            detail=effect if item.released else "",
            figures=figures,
        )


def _describe_loss(known: Restriction, item: RestrictionSize, loss: _Loss) -> str:
    parts = []
    if loss.fewer:
        now = f"only {_rows(item.size.rows)}" if item.size.rows else "no rows"
        parts.append(f"has {now}, and had {known.rows:,} at the last apply")
    if loss.dropped > loss.fewer:
        sampled = count_hashes(known.listed)
        # Another segment has users who are suppressed in it, and are no rows of it.
        values = max(known.rows, sampled)
        about = _about(sampled, known.rows)
        parts.append(f"lost {about}{loss.dropped:,} of the {values:,} values of the last apply")
    if loss.released:
        about = _about(len(known.sample), known.matched or 0)
        users = f"{about}{loss.released:,} user{'' if loss.released == 1 else 's'}"
        if parts:
            parts.append(f"{users} whom it left out become members")
        else:
            parts.append(f"no longer leaves out {users} whom it left out at the last apply")
    return "; ".join(parts)


def _about(sampled: int, total: int) -> str:
    return "about " if total > sampled else ""


def _scaled(count: int, sampled: int, total: int) -> int:
    """Return how many of all are meant by a count of a sample."""
    return round(count * total / sampled) if sampled and total > sampled else count


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def _address(key: RestrictionKey) -> str | None:
    return key.segments[0] if key.segments else None


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
