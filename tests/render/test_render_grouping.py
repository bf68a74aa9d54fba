"""What many findings become on a page: few lines, with the sums and the greatest of them."""

from dataclasses import replace

from segctl.core.diagnostics import Severity
from segctl.plan.model import Figures, Finding
from segctl.render.grouping import group_findings


def note(place: int, code: str = "suppressed", severity: Severity = Severity.INFO) -> Finding:
    return Finding(
        severity=severity,
        code=code,
        address=f"segment.s{place:03}",
        summary=f"segment.s{place:03}: {place:,} suppressed by spec.suppress",
        figures=Figures(count=place, segments=(f"segment.s{place:03}",)),
    )


def test_three_notes_of_a_kind_are_told_one_by_one() -> None:
    notes = [note(1), note(2), note(3)]
    assert list(group_findings(notes)) == notes


def test_notes_of_two_hundred_segments_become_one_with_their_sum() -> None:
    [one] = group_findings([note(place) for place in range(1, 201)])
    assert one.summary == "20,100 suppressed by spec.suppress, counted in each of 200 segments"
    assert one.detail == (
        "segment.s200 (200), segment.s199 (199), segment.s198 (198), segment.s197 (197), "
        "segment.s196 (196) and 195 more."
    )
    assert (one.severity, one.code, one.address) == (Severity.INFO, "suppressed", None)


def test_what_to_do_is_told_once() -> None:
    shells = [
        Finding(
            severity=Severity.INFO,
            code="delete-shell",
            address=f"segment.{name}",
            summary=f'the emptied segment "{name}" ({name}) stays in CleverTap',
            detail="Delete it.",
        )
        for name in "abcd"
    ]
    [one] = group_findings(shells)
    assert one.summary == "4 emptied segments stay in CleverTap"
    assert one.detail == "segment.a, segment.b, segment.c, segment.d.\nDelete it."


def test_segments_that_were_renamed_are_counted() -> None:
    renamed = [replace(note(n, "no-rename", Severity.WARNING), figures=None) for n in range(4)]
    [one] = group_findings(renamed)
    assert one.summary == "4 segments have a new displayName, but CleverTap keeps the old names"


def test_of_many_violations_the_greatest_twelve_are_told() -> None:
    errors = [note(place, "subset", Severity.ERROR) for place in range(1, 201)]
    *told, rest = group_findings(errors)
    assert told == errors[:-13:-1]
    assert rest.summary == "188 more like these; --format json has all of them"
    assert (rest.severity, rest.code) == (Severity.ERROR, "subset")


def test_the_gravest_come_first_and_kinds_stand_together() -> None:
    mixed = [
        note(1),
        note(2, "held-out"),
        note(3),
        note(4, "size", Severity.ERROR),
        note(5, "quarantined", Severity.WARNING),
    ]
    assert [found.address for found in group_findings(mixed)] == [
        f"segment.s{place:03}" for place in (4, 5, 1, 3, 2)
    ]


def test_sources_are_told_one_by_one_up_to_ten() -> None:
    sources = [
        Finding(
            severity=Severity.INFO,
            code="rows-read",
            summary=f"m.yaml:{row}:7: a.csv: {row} rows, no duplicates",
            figures=Figures(count=row, of=row, place=f"m.yaml:{row}:7"),
        )
        for row in range(1, 12)
    ]
    assert list(group_findings(sources[:10])) == sources[:10]
    [one] = group_findings(sources)
    assert one.summary == "66 rows of 11 sources, no duplicates"
    assert one.detail.startswith("m.yaml:11:7 (11), m.yaml:10:7 (10), ")
