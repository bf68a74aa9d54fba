"""Who is in a segment: counts, differences, overlaps, lists, and where one user is."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from segctl.core.identity import Kind
from segctl.core.member_sets import (
    FoundMember,
    Overlap,
    SegmentOfUser,
    SegmentSet,
    SetDifference,
)
from segctl.render.json_document import FORMAT_VERSION, facts
from segctl.render.member_format import Identities, MemberFormat
from segctl.render.phrases import (
    format_count,
    format_number,
    format_percent,
)
from segctl.render.style import PLAIN, Style, escaped

_LEFT_OUT = {
    "held_out": "is in the hold-out",
    "suppressed": "is suppressed",
    "invalid": "is not a valid user key",
}

_ROLES = {
    "include": "in",
    "intersect": "in the intersected",
    "exclude": "excluded by",
    "suppress": "suppressed by",
}


def render_counts(sets: Sequence[SegmentSet], *, is_one: bool) -> str:
    """Return one number, or a line with address and number for each set, separated by a tab."""
    if is_one:
        return "".join(f"{each.count}\n" for each in sets)
    return "".join(f"{escaped(each.address)}\t{each.count}\n" for each in sets)


def counts_json(sets: Iterable[SegmentSet]) -> str:
    """Return the sets as a document."""
    return facts(segments=[_set_object(each) for each in sets])


def render_differences(differences: Sequence[SetDifference], *, style: Style = PLAIN) -> str:
    """Return a table of recorded and desired members, and of what differs."""
    optional = [
        name for name in ("uncertain", "refused") if any(getattr(d, name) for d in differences)
    ]
    head = ["segment", "recorded", "desired", "in both", "only recorded", "only desired", *optional]
    rows = [
        [
            escaped(d.address),
            *map(format_number, (d.recorded, d.desired, d.shared)),
            *map(format_number, (d.only_recorded, d.only_desired)),
            *(format_number(getattr(d, name)) for name in optional),
        ]
        for d in differences
    ]
    return _table(head, rows, left=1, style=style)


def differences_json(differences: Iterable[SetDifference]) -> str:
    """Return the differences as a document."""
    return facts(
        segments=[
            {**asdict(d), "only_recorded": d.only_recorded, "only_desired": d.only_desired}
            for d in differences
        ]
    )


def render_overlaps(overlaps: Sequence[Overlap], *, style: Style = PLAIN) -> str:
    """Return a table with a line per pair: sizes, shared users, and their share of each."""
    head = ["segment", "other", "members", "other's", "shared", "of segment", "of other"]
    rows = [
        [
            escaped(o.left.address),
            escaped(o.right.address),
            *map(format_number, (o.left.count, o.right.count, o.shared)),
            _percent(o.shared, o.left.count),
            _percent(o.shared, o.right.count),
        ]
        for o in overlaps
    ]
    return _table(head, rows, left=2, style=style)


def overlaps_json(overlaps: Iterable[Overlap]) -> str:
    """Return the overlaps as a document."""
    return facts(
        overlaps=[
            {
                "segment": _set_object(o.left),
                "other": _set_object(o.right),
                "shared": o.shared,
                "percent_of_segment": _ratio(o.shared, o.left.count),
                "percent_of_other": _ratio(o.shared, o.right.count),
            }
            for o in overlaps
        ]
    )


def iter_list_text(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the lines of ``pieces``, each escaped except for its tab."""
    for piece in pieces:
        if piece.replace("\n", "").replace("\t", "").isprintable():
            yield piece
        else:
            yield "".join(f"{_escaped_cells(line)}\n" for line in _lines(piece))


def _escaped_cells(line: str) -> str:
    return "\t".join(map(escaped, line.split("\t")))


def iter_list_json(
    of: SegmentSet,
    pieces: Iterable[str],
    *,
    identities: Identities,
    with_kind: bool,
    sample: int | None,
) -> Iterator[str]:
    """Yield a document in pieces, one member per line.

    ``pieces`` are whole lines of values, or of ``#`` and hashes if members are masked. Each has a
    tab and its kind if ``with_kind``.
    """
    head = {
        "format_version": FORMAT_VERSION,
        **_set_object(of),
        **({} if sample is None else {"sample": sample}),
        "identities": str(identities),
    }
    opening = json.dumps(head, indent=2).removesuffix("\n}")
    if identities is Identities.NONE:
        yield f"{opening}\n}}\n"
        return
    member_objects = _hash_objects if identities is Identities.MASKED else _member_objects
    yield f'{opening},\n  "members": ['
    separator = "\n"
    for piece in pieces:
        yield separator + member_objects(piece, with_kind=with_kind)
        separator = ",\n"
    yield "\n]\n}\n" if separator != "\n" else "]\n}\n"


_OPEN, _CLOSE = '{"kind": "identity", "value": "', '"}'


def _member_objects(piece: str, *, with_kind: bool) -> str:
    rest = piece.replace("\n", "")
    is_plain = rest.isascii() and rest.isprintable() and not any(c in rest for c in '"\\#')
    if is_plain and not with_kind:
        lines = piece.removesuffix("\n").replace("\n", f"{_CLOSE},\n{_OPEN}")
        return _OPEN + lines + _CLOSE
    return ",\n".join(_member_object(line, with_kind=with_kind) for line in _lines(piece))


def _member_object(line: str, *, with_kind: bool) -> str:
    value, _, kind = line.rpartition("\t") if with_kind else (line, "", Kind.IDENTITY)
    # CI runners read two of these as the beginning of a command, also within a string.
    text = json.dumps(value).replace("#", "\\u0023")
    return f'{{"kind": "{Kind(kind)}", "value": {text}}}'


def _hash_objects(piece: str, *, with_kind: bool) -> str:
    cells = (line.partition("\t") for line in _lines(piece))
    return ",\n".join(
        f'{{"kind": "{Kind(kind) if with_kind else Kind.IDENTITY}", "hash": "{text[1:]}"}}'
        for text, _, kind in cells
    )


def _lines(piece: str) -> list[str]:
    # Not splitlines, which also splits at characters that a value may have.
    return piece.removesuffix("\n").split("\n")


def render_user(segments: Sequence[SegmentOfUser]) -> str:
    """Return the segments of one user, each with the reasons. The user key is not repeated."""
    if not segments:
        return "This user is in no segment.\n"
    lines = []
    for found in segments:
        guid = " (as guid)" if found.kind is Kind.GUID else ""
        lines.append(f"{escaped(found.address)}{guid}: {_standing(found)}")
        lines += [
            f"    {_ROLES[source.role]} {escaped(source.name)} ({escaped(source.place)})"
            for source in found.sources
        ]
        if found.desired is False and not found.sources:
            lines.append("    no source has this user")
    return "".join(f"{line}\n" for line in lines)


def _standing(found: SegmentOfUser) -> str:
    parts = []
    if found.recorded is not None:
        parts.append("recorded" if found.recorded else "not recorded")
    if found.desired is not None:
        reason = f" ({_LEFT_OUT[found.left_out]})" if found.left_out else ""
        parts.append("desired" if found.desired else f"not desired{reason}")
    if found.status == "uncertain":
        parts.append(f"the last request ({found.action}) has no answer; it is sent again")
    elif found.status == "refused":
        parts.append(f"CleverTap refused the last request ({found.action}); it is not sent again")
    elif found.recorded is True and found.desired is False:
        parts.append("an apply removes the user")
    elif found.recorded is False and found.desired is True:
        parts.append("an apply adds the user")
    return ", ".join(parts)


def render_found(
    found: Sequence[FoundMember], hashes: Sequence[str], identities: MemberFormat, *, no_match: str
) -> str:
    """Return the users who have these hashes, each with the segments.

    ``no_match`` is the text for a hash without a user.
    """
    lines = []
    for each in found:
        user = identities.format(each.kind, each.value)
        who = f": {user}" if identities.shown is Identities.FULL else ""
        lines.append(f"#{each.hash}{who}")
        lines += [f"    {escaped(s.address)}: {_standing(s)}" for s in each.segments]
    known = {each.hash for each in found}
    lines += [f"#{text}: {no_match}" for text in hashes if text not in known]
    return "".join(f"{line}\n" for line in lines)


def found_json(
    found: Sequence[FoundMember], hashes: Sequence[str], identities: MemberFormat
) -> str:
    """Return the users who have these hashes as a document."""
    known = {each.hash for each in found}
    return facts(
        members=[
            {
                "hash": each.hash,
                "kind": str(each.kind),
                **identities.fields(each.kind, each.value),
                "segments": [_user_object(s) for s in each.segments],
            }
            for each in found
        ],
        not_found=[text for text in hashes if text not in known],
    )


def user_json(segments: Iterable[SegmentOfUser]) -> str:
    """Return the segments of one user as a document. It does not contain the user key."""
    return facts(
        segments=[
            {**_user_object(s), "sources": [asdict(each) for each in s.sources]} for s in segments
        ]
    )


def _user_object(found: SegmentOfUser) -> dict[str, Any]:
    fields = asdict(found)
    del fields["sources"]
    return fields | {
        "left_out": found.left_out or None,
        "status": found.status or None,
        "action": found.action or None,
    }


def desired_note(sets: Sequence[SegmentSet]) -> str:
    """Return a line about segments without a record, whose desired members stand in."""
    desired = [s for s in sets if s.which == "desired"]
    if not desired:
        return ""
    if len(sets) == 1:
        return f"{escaped(sets[0].address)} is not recorded yet: these are the desired members."
    what = format_count(len(desired), "segment")
    verb = "is" if len(desired) == 1 else "are"
    names = ", ".join(escaped(s.address) for s in desired[:5]) + (", …" if desired[5:] else "")
    return f"{what} {verb} not recorded yet, and the desired members are shown: {names}."


def _set_object(each: SegmentSet) -> dict[str, Any]:
    return {
        "address": each.address,
        "set": each.which,
        "count": each.count,
        "uncertain": each.uncertain,
        "refused": each.refused,
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def _percent(part: int, whole: int) -> str:
    return (format_percent(part, whole) or "0%") if whole else "-"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int, style: Style) -> str:
    """Return aligned columns, the first ``left`` of them to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    return "".join(f"{line}\n" for line in [style.bold(lines[0]), *lines[1:]])
