"""The comment on a pull request: values are escaped, and the size stays within the limit."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from segctl.core.diagnostics import Severity
from segctl.plan.model import Finding, MemberCounts, Plan
from segctl.render import markdown

ExamplePlan = Callable[[str], Plan]


def outside_fences(page: str) -> str:
    """Return the part of a page that GitHub reads as markup: all but the details."""
    return "".join(page.split("```diff")[0::1][0:1]) + page.rpartition("```")[2]


def grown(plan: Plan, count: int) -> Plan:
    gold = plan.changes[1]
    changes = tuple(replace(gold, address=f"segment.s{n:05}") for n in range(count))
    return replace(plan, changes=(*plan.changes, *changes))


def test_the_summary_comes_first(example_plan: ExamplePlan) -> None:
    page = markdown.render(example_plan("everyday"))
    assert page.startswith("### Plan: 1 to add, 1 to change, 0 to destroy.\n\nMembers: 18 to add")


def test_members_are_masked_unless_asked_for(example_plan: ExamplePlan) -> None:
    assert "example.com" not in markdown.render(example_plan("everyday"))


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
    page = markdown.render(grown(example_plan("everyday"), count))
    assert len(page) <= markdown.LIMIT
    assert ("Cut to fit into a comment" in page) == (count > 50)
    assert "Plan: 1 to add" in page


def test_the_note_counts_what_was_cut(example_plan: ExamplePlan) -> None:
    page = markdown.render(grown(example_plan("everyday"), 2_500))
    rows = sum(line.startswith("| <code>") for line in page.splitlines())
    folds = page.count("<details>")
    assert f"{2502 - rows:,} segments not in the table" in page
    assert f"{2502 - folds:,} segments without details" in page


def test_details_are_never_cut_in_half(example_plan: ExamplePlan) -> None:
    page = markdown.render(grown(example_plan("everyday"), 2_500))
    assert page.count("<details>") == page.count("</details>") == page.count("```diff")


def test_thousands_of_findings_leave_room_for_the_plan(example_plan: ExamplePlan) -> None:
    plan = example_plan("everyday")
    findings = [replace(plan.findings[0], code=f"kind-{n}") for n in range(3_000)]
    page = markdown.render(replace(plan, findings=tuple(findings)))
    assert len(page) <= markdown.LIMIT
    assert "more findings" in page
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
        assert "complaints.txt is no longer declared" in markdown.render(plan, limit=limit)


def test_a_very_long_name_is_shortened(example_plan: ExamplePlan) -> None:
    plan = example_plan("everyday")
    long = replace(plan.changes[0], reason="x" * 100_000, members=MemberCounts(after=1, add=1))
    page = markdown.render(replace(plan, changes=(long,)))
    assert len(page) < 5_000


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
