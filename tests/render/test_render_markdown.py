"""The comment on a pull request: values are escaped, and the size stays within the limit."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from segctl.core.diagnostics import Severity
from segctl.plan.model import Finding, MemberCounts, Plan
from segctl.render import markdown
from segctl.render.member_format import NOT_SHOWN, MemberFormat
from segctl.render.phrases import MAX_COMMENT_BYTES
from tests.render.conftest import HASHED

ExamplePlan = Callable[[str], Plan]


def outside_fences(page: str) -> str:
    """Return the part of a page that GitHub reads as markup: all but the details."""
    return "".join(page.split("```diff")[0::1][0:1]) + page.rpartition("```")[2]


def grown(plan: Plan, count: int) -> Plan:
    gold = plan.changes[1]
    changes = tuple(replace(gold, address=f"segment.s{n:05}") for n in range(count))
    return replace(plan, changes=(*plan.changes, *changes))


def varied(plan: Plan, count: int) -> Plan:
    """Return a plan with as many segments, no two of which are alike."""
    changes = tuple(
        replace(change, members=replace(change.members, add=number))
        for number, change in enumerate(grown(plan, count).changes[3:], start=1)
    )
    return replace(plan, changes=(*plan.changes, *changes))


def test_the_summary_comes_first(example_plan: ExamplePlan) -> None:
    page = markdown.render(example_plan("everyday"))
    assert page.startswith("### Plan: 1 to add, 1 to change, 0 to destroy.\n\nMembers: 18 to add")


@pytest.mark.parametrize("shown", [HASHED, NOT_SHOWN])
def test_members_are_hashes_or_nothing(shown: MemberFormat, example_plan: ExamplePlan) -> None:
    page = markdown.render(example_plan("everyday"), identities=shown)
    assert "example.com" not in page
    assert ("--find HASH" in page) == (shown is HASHED)


def test_the_most_dangerous_changes_come_first(example_plan: ExamplePlan) -> None:
    rows = [
        row for row in markdown.render(example_plan("oddities")).splitlines() if row[:2] == "| "
    ]
    actions = [row.split(" | ")[2] for row in rows[1:]]
    assert actions == ["destroy", "replace", "forget", "adopt", "create"]


def test_hostile_names_become_neither_markup_nor_mentions(example_plan: ExamplePlan) -> None:
    markup = outside_fences(markdown.render(example_plan("hostile")))
    for evil in ("<script", "@team", "`id`", "\x1b", "\u202e", "![a]", "](http"):
        assert evil not in markup


def test_a_pipe_in_a_name_does_not_split_its_row(example_plan: ExamplePlan) -> None:
    page = markdown.render(example_plan("hostile"))
    (row,) = [line for line in page.splitlines() if "segment.trap" in line and line[:2] == "| "]
    assert row.count("|") == 8


def test_backticks_in_a_name_do_not_end_the_fence(example_plan: ExamplePlan) -> None:
    plan = example_plan("hostile")
    (trap,) = plan.changes
    page = markdown.render(replace(plan, changes=(replace(trap, reason="```\n````"),)))
    assert page.count("`````diff\n") == 1
    assert page.count("\n`````\n") == 1


@pytest.mark.parametrize("count", [50, 200, 2_500])
def test_a_large_plan_stays_within_the_limit_and_says_what_is_missing(
    count: int, example_plan: ExamplePlan
) -> None:
    page = markdown.render(varied(example_plan("everyday"), count))
    assert len(page.encode()) <= MAX_COMMENT_BYTES
    assert ("Not in this comment of 65,536 bytes: " in page) == (count > 50)
    assert "Plan: 1 to add" in page


def test_the_note_counts_what_was_cut(example_plan: ExamplePlan) -> None:
    page = markdown.render(varied(example_plan("everyday"), 2_500))
    rows = sum(line.startswith("| <code>") for line in page.splitlines()) - 2
    folds = page.count("<details>")
    assert f"the rows of {2502 - rows:,} segments, " in page
    assert f"the details of {2502 - folds:,} segments" in page


def test_rows_that_do_not_fit_are_summed_by_action(example_plan: ExamplePlan) -> None:
    plan = varied(example_plan("everyday"), 2_500)
    page = markdown.render(plan, max_bytes=32_768)
    more = [line for line in page.splitlines() if "more segments | update" in line]
    shown = [line for line in page.splitlines() if line.startswith("| <code>~")]
    added = sum(int(line.split(" | ")[4].replace(",", "")) for line in shown)
    assert len(more) == 1
    assert added == plan.members_add - 2


def test_details_are_never_cut_in_half(example_plan: ExamplePlan) -> None:
    page = markdown.render(varied(example_plan("everyday"), 2_500))
    assert page.count("<details>") == page.count("</details>") == page.count("```diff")


def test_thousands_of_findings_leave_room_for_the_plan(example_plan: ExamplePlan) -> None:
    plan = example_plan("everyday")
    findings = [replace(plan.findings[0], code=f"kind-{n}") for n in range(3_000)]
    page = markdown.render(replace(plan, findings=tuple(findings)))
    assert len(page.encode()) <= MAX_COMMENT_BYTES
    assert "more warnings" in page
    assert "segment.council" in page


def test_harmless_findings_push_no_grave_one_off_the_page(example_plan: ExamplePlan) -> None:
    harmless = [
        Finding(
            severity=Severity.WARNING,
            code="source-without-rows",
            summary=f"x{'_' * 220}{number}.csv has no rows",
        )
        for number in range(14)
    ]
    grave = Finding(
        severity=Severity.WARNING,
        code="restriction-removed",
        summary="suppress: complaints.txt is no longer declared",
    )
    plan = replace(example_plan("everyday"), findings=(*harmless, grave))
    for limit in (10_000, 60_000):
        assert "complaints.txt is no longer declared" in markdown.render(plan, max_bytes=limit)


def test_a_very_long_name_is_shortened(example_plan: ExamplePlan) -> None:
    plan = example_plan("everyday")
    long = replace(plan.changes[0], reason="x" * 100_000, members=MemberCounts(after=1, add=1))
    page = markdown.render(replace(plan, changes=(long,)))
    assert len(page) < 5_000


def test_like_segments_share_a_row(example_plan: ExamplePlan) -> None:
    page = markdown.render(grown(example_plan("everyday"), 2_500))
    assert (
        "| <code>~</code> | 2,501 segments: <code>segment.gold</code>, <code>segment.s00000</code>"
        ", <code>segment.s00001</code>, … | update | 30,022,004 → 28,561,420 (−4.9%) | 16 each | "
        "600 each | 16 members join, 600 leave |" in page
    )
    assert "<summary>2,501 segments will be updated</summary>" in page
    assert "Not in this comment" not in page


def test_a_segment_with_an_error_has_a_row_of_its_own(example_plan: ExamplePlan) -> None:
    plan = grown(example_plan("everyday"), 100)
    error = replace(
        plan.findings[0], severity=Severity.ERROR, code="size", address="segment.s00042"
    )
    page = markdown.render(replace(plan, findings=(error,)))
    assert "| Gold Users <code>segment.s00042</code> | update |" in page
    assert "| **error: size**; 16 members join, 600 leave |" in page
    assert "| 100 segments: " in page


def test_a_refusal_and_what_is_destroyed_come_before_everything(example_plan: ExamplePlan) -> None:
    refused = replace(example_plan("refused"), changes=example_plan("oddities").changes)
    lines = [line for line in markdown.render(refused).splitlines() if line != ">"]
    assert lines[0].startswith("### Refused: 1 error. Destroys 1 segment and replaces 1 segment. ")
    assert lines[3].startswith("> **This plan cannot be applied: 1 error.** ")
    assert lines[8].startswith("> **Destroys 1 segment and replaces 1 segment, which removes 15 ")


def test_hundreds_of_destroyed_segments_are_counted(example_plan: ExamplePlan) -> None:
    plan = example_plan("oddities")
    gone = [replace(plan.changes[1], address=f"segment.s{n:03}") for n in range(400)]
    page = markdown.render(replace(plan, changes=tuple(gone)), max_bytes=8_192)
    assert page.startswith("### Destroys 400 segments. Plan: ")
    assert "> **Destroys 400 segments, which removes 4,800 members.**" in page
    assert "more segments\n\nMembers: " in page


def test_a_plan_without_changes_is_short_and_keeps_its_warnings(example_plan: ExamplePlan) -> None:
    warning = Finding(severity=Severity.WARNING, code="other-host", summary="another host")
    note = Finding(severity=Severity.INFO, code="rows-read", summary="a.csv: 9 rows")
    page = markdown.render(replace(example_plan("unchanged"), findings=(warning, note)))
    assert page.startswith("### No changes.\n\nThe state records every segment")
    assert "- **Warning:** another host" in page
    assert "Not in this comment: 1 note." in page
    assert len(page) < 500


def test_flows_that_are_not_counted_are_said_to_be(example_plan: ExamplePlan) -> None:
    page = markdown.render(replace(example_plan("everyday"), flows=None))
    assert "Moves between segments are not counted: " in page
    assert "mermaid" not in page


@pytest.mark.parametrize("marker", ["<!-- segctl plan shop production -->", "<!-- other -->"])
def test_the_marker_is_the_last_line(marker: str, example_plan: ExamplePlan) -> None:
    page = markdown.render(example_plan("everyday"), marker=marker)
    assert page.endswith(f"\n\n{marker}\n")


def test_a_limit_that_is_too_small_is_an_error(example_plan: ExamplePlan) -> None:
    plan = example_plan("everyday")
    with pytest.raises(ValueError, match="at least 4,096 bytes"):
        markdown.render(plan, max_bytes=4_095)
    with pytest.raises(ValueError, match="the marker is too long"):
        markdown.render(plan, max_bytes=4_096, marker="<!--" + "x" * 4_096)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.seen.add(tag)


def test_only_tags_of_the_view_itself_occur(example_plan: ExamplePlan) -> None:
    parser = _Tags()
    parser.feed(outside_fences(markdown.render(example_plan("hostile"))))
    assert parser.seen <= {"code", "details", "summary", "sub"}
