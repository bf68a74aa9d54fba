"""Many findings on a page: merged into one with the sum, or cut to the largest ones."""

from dataclasses import replace

from segctl.core.diagnostics import Severity
from segctl.plan.model import Figures, Finding
from segctl.render.grouping import group_findings


def note(number: int, code: str = "suppressed", severity: Severity = Severity.INFO) -> Finding:
    """Return a finding about ``number`` users of the segment with this number."""
    address = f"segment.s{number:03}"
    return Finding(
        severity=severity,
        code=code,
        address=address,
        summary=f"{address}: {number:,} suppressed by spec.suppress",
        figures=Figures(count=number, segments=(address,)),
    )


def test_three_notes_of_a_kind_are_shown_one_by_one() -> None:
    notes = [note(1), note(2), note(3)]
    assert list(group_findings(notes)) == notes


def test_notes_of_two_hundred_segments_become_one_with_their_sum() -> None:
    [merged] = group_findings([note(number) for number in range(1, 201)])
    assert merged.summary == "20,100 suppressed by spec.suppress, counted in each of 200 segments"
    assert merged.detail == (
        "segment.s200 (200), segment.s199 (199), segment.s198 (198), segment.s197 (197), "
        "segment.s196 (196) and 195 more."
    )
    assert (merged.severity, merged.code, merged.address) == (Severity.INFO, "suppressed", None)


def test_the_advice_is_shown_once() -> None:
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
    [merged] = group_findings(shells)
    assert merged.summary == "4 emptied segments stay in CleverTap"
    assert merged.detail == "segment.a, segment.b, segment.c, segment.d.\nDelete it."


def test_renamed_segments_are_counted() -> None:
    renamed = [replace(note(n, "no-rename", Severity.WARNING), figures=None) for n in range(4)]
    [merged] = group_findings(renamed)
    assert merged.summary == "4 segments have a new displayName, but CleverTap keeps the old names"


def test_the_twelve_largest_of_many_violations_are_shown() -> None:
    errors = [note(number, "subset", Severity.ERROR) for number in range(1, 201)]
    *shown, rest = group_findings(errors)
    assert shown == errors[:-13:-1]
    assert rest.summary == "188 more like these; --format json has all of them"
    assert (rest.severity, rest.code) == (Severity.ERROR, "subset")


def test_errors_come_first_and_findings_of_a_kind_together() -> None:
    mixed = [
        note(1),
        note(2, "held-out"),
        note(3),
        note(4, "size", Severity.ERROR),
        note(5, "quarantined", Severity.WARNING),
    ]
    assert [finding.address for finding in group_findings(mixed)] == [
        f"segment.s{number:03}" for number in (4, 5, 1, 3, 2)
    ]


def test_up_to_ten_sources_are_shown_one_by_one() -> None:
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
    [merged] = group_findings(sources)
    assert merged.summary == "66 rows of 11 sources, no duplicates"
    assert merged.detail.startswith("m.yaml:11:7 (11), m.yaml:10:7 (10), ")
