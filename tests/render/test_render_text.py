"""The plan as text: its counts, what it leaves out, and that values are escaped."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.diagnostics import Severity
from segctl.core.identity import Kind
from segctl.plan.model import Estimate, Finding, MemberCounts, Plan, Requests
from segctl.render import phrases, text
from segctl.render.member_format import NOT_SHOWN, Identities, MemberFormat
from segctl.render.style import COLOR, escaped, quoted
from tests.render.conftest import HASHED

ExamplePlan = Callable[[str], Plan]


def test_the_summary_lines_keep_their_format(example_plan: ExamplePlan) -> None:
    everyday = example_plan("everyday")
    council, gold, kept = everyday.changes
    council = replace(council, members=MemberCounts())
    plan = replace(
        everyday,
        changes=(council, replace(council, address="segment.b"), gold, kept),
        requests=Requests(update=7, naive=9, floor=7),
        estimate=Estimate(seconds=2.0, billable_events=616),
    )
    assert text.render(plan).endswith(
        "Plan: 2 to add, 1 to change, 0 to destroy.\n"
        "Members: 16 to add, 600 to remove in 7 requests (naive 9, floor 7), about 2 s, "
        "616 billable events.\n"
    )


def test_the_legend_lists_only_symbols_that_occur(example_plan: ExamplePlan) -> None:
    legend = text.render(example_plan("everyday")).partition("\n\n")[0].splitlines()
    assert legend == [
        "Actions are indicated with the following symbols:",
        "  + create",
        "  ~ update",
    ]


def test_a_replacement_counts_as_one_added_and_one_destroyed(example_plan: ExamplePlan) -> None:
    assert phrases.plan_line(example_plan("oddities")) == (
        "Plan: 2 to add, 0 to change, 2 to destroy, 1 to adopt, 1 to forget."
    )


def test_repeated_and_quarantined_members_are_counted_separately(example_plan: ExamplePlan) -> None:
    page = text.render(example_plan("oddities"))
    assert "# 2 sent again: the last request got no answer" in page
    assert "# 1 refused earlier, not retried" in page
    assert "2 to send again in 3 requests" in page


def test_at_most_ten_members_per_sign_are_listed(example_plan: ExamplePlan) -> None:
    page = text.render(example_plan("everyday"))
    assert page.count('+ "new') == 10
    assert "# (6 more)" in page
    assert page.count('- "old') == 10
    assert "# (590 more)" in page


def test_no_changes_says_what_that_means(example_plan: ExamplePlan) -> None:
    assert text.render(example_plan("unchanged")) == (
        "No changes. The state records every segment and member as declared; "
        "nothing needs to be sent.\n"
    )


def test_no_changes_mentions_refused_members(example_plan: ExamplePlan) -> None:
    assert text.render(example_plan("held-back")) == (
        "No changes. Nothing needs to be sent; what CleverTap refused is not retried.\n"
    )


def test_no_changes_with_targets_says_that_others_are_not_planned(
    example_plan: ExamplePlan,
) -> None:
    page = text.render(replace(example_plan("unchanged"), targeted=("gold*",)))
    assert page == (
        "No changes. Segments matching --target gold* are as declared; others are not planned.\n"
    )


def test_no_changes_because_everything_is_excluded_says_so(example_plan: ExamplePlan) -> None:
    plan = replace(example_plan("unchanged"), targeted=("g*",), excluded=("gold",), changes=())
    assert text.render(plan).startswith(
        "No changes. Nothing is planned: every segment matching --target g* matches --exclude gold."
    )


@pytest.mark.parametrize("shown", [HASHED, NOT_SHOWN, MemberFormat(mode=Identities.MASKED)])
def test_identities_are_shown_in_full_only_when_asked_for(
    shown: MemberFormat, example_plan: ExamplePlan
) -> None:
    page = text.render(example_plan("everyday"), identities=shown)
    assert "example.com" not in page
    assert "abcde12345" not in page


def test_hashes_of_members_are_one_line_a_sign(example_plan: ExamplePlan) -> None:
    lines = text.render(example_plan("everyday"), identities=HASHED).splitlines()
    assert "Members are shown as hashes: `segctl members --find HASH` says who one is." in lines
    hashes = [line for line in lines if re.match(r" +[+-] #", line)]
    assert re.fullmatch(r" +\+( #[0-9a-f]{10}){2}", hashes[0])
    assert re.fullmatch(r" +\+( #[0-9a-f]{10}){5} \(11 more\)", hashes[1])
    assert re.fullmatch(r" +-( #[0-9a-f]{10}){5} \(595 more\)", hashes[2])


def test_masked_members_without_a_key_are_counted_only(example_plan: ExamplePlan) -> None:
    masked = MemberFormat(mode=Identities.MASKED)
    pages = {text.render(example_plan("everyday"), identities=f) for f in (masked, NOT_SHOWN)}
    assert len(pages) == 1
    assert "#" not in pages.pop().replace("  # ", "")


def test_the_order_of_hashes_is_not_that_of_the_values() -> None:
    sample = [(Kind.IDENTITY, f"user{number}") for number in range(10)]
    shown = HASHED.members(sample)
    assert list(shown) == sorted(HASHED.format(*member) for member in sample)[:5]


def test_a_finding_names_its_segment_once() -> None:
    finding = Finding(
        severity=Severity.ERROR, code="x", address="segment.a", summary="segment.a is protected"
    )
    assert list(text.finding_lines(finding)) == ["Error: segment.a is protected [x]"]


def test_plain_text_has_no_escape_sequences_and_color_changes_nothing_else(
    example_plan: ExamplePlan,
) -> None:
    plain = text.render(example_plan("oddities"))
    colored = text.render(example_plan("oddities"), style=COLOR)
    stripped = colored
    for code in ("0", "1", "2", "31", "32", "33", "36"):
        stripped = stripped.replace(f"\x1b[{code}m", "")
    assert stripped == plain != colored


def test_a_name_cannot_control_the_terminal(example_plan: ExamplePlan) -> None:
    page = text.render(example_plan("hostile"))
    assert all(line.isprintable() for line in page.splitlines())
    assert "\\x1b[2J\\n" in page


def test_the_commit_of_a_saved_plan_cannot_control_the_terminal(example_plan: ExamplePlan) -> None:
    page = text.render(replace(example_plan("everyday"), commit="\x1b[2Jabc"))
    assert "from commit \\x1b[2Jabc" in page


@given(st.text())
def test_an_escaped_text_is_one_printable_line(value: str) -> None:
    assert escaped(value).isprintable()


@given(st.text(), st.text())
def test_quoted_texts_differ_when_their_values_do(one: str, other: str) -> None:
    assert (quoted(one) == quoted(other)) == (one == other)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (2.0, "2 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (9000, "2.5 h"),
    ],
)
def test_a_duration_has_one_readable_unit(seconds: float, words: str) -> None:
    assert phrases.format_duration(seconds) == words


def test_users_who_break_a_rule_are_shown_like_other_identities(example_plan: ExamplePlan) -> None:
    ruled = example_plan("ruled")
    assert '  Among them: "both00@example.com", "both01@example.com", ' in text.render(ruled)
    assert "Among them" not in text.render(ruled, identities=NOT_SHOWN)
    assert "both" not in "".join(text.finding_lines(ruled.findings[0]))
