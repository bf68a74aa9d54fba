"""The page of text: what it counts, what it leaves out, what it never lets through."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.diagnostics import Severity
from segctl.plan.model import Estimate, Finding, MemberCounts, Plan, Requests
from segctl.render import phrases, text
from segctl.render.phrases import Identities
from segctl.render.style import COLOUR, escaped, quoted

Sampler = Callable[[str], Plan]


def test_the_summary_lines_are_the_contract_s(sample: Sampler) -> None:
    everyday = sample("everyday")
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


def test_the_legend_holds_only_symbols_that_occur(sample: Sampler) -> None:
    legend = text.render(sample("everyday")).partition("\n\n")[0].splitlines()
    assert legend == [
        "Actions are indicated with the following symbols:",
        "  + create",
        "  ~ update",
    ]


def test_a_replacement_counts_as_one_added_and_one_destroyed(sample: Sampler) -> None:
    assert phrases.plan_line(sample("oddities")) == (
        "Plan: 2 to add, 0 to change, 2 to destroy, 1 to adopt, 1 to forget."
    )


def test_members_sent_again_and_quarantined_are_counted_apart(sample: Sampler) -> None:
    page = text.render(sample("oddities"))
    assert "# 2 sent again: the last request got no answer" in page
    assert "# 1 refused earlier, not retried" in page
    assert "2 to send again in 3 requests" in page


def test_at_most_ten_members_a_sign_are_listed(sample: Sampler) -> None:
    page = text.render(sample("everyday"))
    assert page.count('+ "new') == 10
    assert "# (6 more)" in page
    assert page.count('- "old') == 10
    assert "# (590 more)" in page


def test_no_changes_says_what_that_means(sample: Sampler) -> None:
    assert text.render(sample("unchanged")) == (
        "No changes. The state records every segment and member as declared; "
        "nothing needs to be sent.\n"
    )


def test_no_changes_does_not_claim_that_refused_members_are_as_declared(sample: Sampler) -> None:
    assert text.render(sample("held-back")) == (
        "No changes. Nothing is to be sent; what CleverTap refused stays as it is.\n"
    )


def test_no_changes_of_a_part_does_not_read_as_if_all_were_looked_at(sample: Sampler) -> None:
    page = text.render(replace(sample("unchanged"), targeted=("gold*",)))
    assert page == (
        "No changes. Segments picked by --target gold* are as declared; others are not planned.\n"
    )


def test_a_target_that_picks_nothing_is_not_told_to_be_fine(sample: Sampler) -> None:
    page = text.render(replace(sample("unchanged"), targeted=("golf",), changes=()))
    assert page == "No changes. No segment, declared or recorded, is picked by --target golf.\n"


@pytest.mark.parametrize("mode", [Identities.MASKED, Identities.NONE])
def test_identities_are_shown_in_full_only_when_asked_for(
    mode: Identities, sample: Sampler
) -> None:
    page = text.render(sample("everyday"), identities=mode)
    assert "example.com" not in page
    assert "abcde12345" not in page


def test_hints_that_look_alike_share_a_line(sample: Sampler) -> None:
    page = text.render(sample("everyday"), identities=Identities.MASKED)
    assert '+ "n…@e….com" and 9 like it\n            # (6 more)' in page


def test_a_finding_names_its_segment_once() -> None:
    found = Finding(
        severity=Severity.ERROR, code="x", address="segment.a", summary="segment.a is protected"
    )
    assert list(text.finding(found)) == ["Error: segment.a is protected [x]"]


def test_plain_text_has_no_escape_sequences_and_colour_changes_nothing_else(
    sample: Sampler,
) -> None:
    plain = text.render(sample("oddities"))
    coloured = text.render(sample("oddities"), style=COLOUR)
    stripped = coloured
    for code in ("0", "1", "2", "31", "32", "33", "36"):
        stripped = stripped.replace(f"\x1b[{code}m", "")
    assert stripped == plain != coloured


def test_no_name_reaches_the_terminal_as_a_control(sample: Sampler) -> None:
    page = text.render(sample("hostile"))
    assert all(line.isprintable() for line in page.splitlines())
    assert "\\x1b[2J\\n" in page


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
def test_a_time_is_told_as_people_say_it(seconds: float, words: str) -> None:
    assert phrases.duration(seconds) == words


def test_examples_of_a_broken_rule_are_shown_as_much_as_identities_are(sample: Sampler) -> None:
    ruled = sample("ruled")
    assert '  Among them: "both00@example.com", "both01@example.com", ' in text.render(ruled)
    assert "Among them" not in text.render(ruled, identities=Identities.NONE)
    assert "both" not in "".join(text.finding(ruled.findings[0]))
