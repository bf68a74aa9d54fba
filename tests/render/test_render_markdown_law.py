"""Laws of the comment: it fits, every part of it is whole, and what a plan holds stays text."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.diagnostics import Severity
from segctl.core.identity import Kind
from segctl.plan.model import (
    Action,
    AttributeChange,
    Attributes,
    Change,
    Estimate,
    Figures,
    Finding,
    Flow,
    MemberCounts,
    Plan,
    Requests,
    Sample,
)
from segctl.render import markdown
from segctl.render.member_format import IN_FULL, NOT_SHOWN, MemberFormat
from segctl.render.phrases import MIN_COMMENT_BYTES
from tests.render.comment_kit import check_inert, check_whole
from tests.render.conftest import HASHED
from tests.render.conftest import plan as build_plan

MARKER = "<!-- segctl plan of shop -->"
HOSTILE = (
    "<script>alert(1)</script>",
    "</details></summary>",
    "<!-- segctl plan of other -->",
    "::error file=a::b",
    "##[error]x",
    "##vso[task.complete]",
    "/close",
    "@team",
    "#1",
    "!1",
    "GH-1",
    "~label",
    "[issue:1]",
    "{+ added +}",
    ":tada:",
    "http://a.example",
    "www.a.example",
    "[a](http://b)",
    "`code`",
    "```\n````",
    "\x1b[31mred",
    "\u202ereversed",
    "\u200b\u2060",
    "| a | b |",
    "\n# heading\n",
    "- item",
    "1. item",
    "=====",
    '"]; click s0 "http://a.example"',
    "%%{init: {}}%%",
    "$x$",
    "*a* _b_ ~~c~~",
    "&lt;b&gt;",
    "\ud800",
    "語" * 40,
    "x" * 5_000,
    "&" * 900,
    "",
)
texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(HOSTILE), max_size=3).map(" ".join),
    st.text(max_size=20),
)
counts = st.sampled_from([0, 1, 7, 1_234, 10_000_000])
addresses = texts.map(lambda text: f"segment.{text}")
attributes = st.builds(
    Attributes,
    display_name=texts,
    customer_segment_id=texts,
    labels=st.dictionaries(texts, texts, max_size=2),
    managed=st.booleans(),
)
keys = texts.map(lambda text: text.replace("\ud800", ""))  # a user key is valid UTF-8
samples = st.lists(st.tuples(st.sampled_from(list(Kind)), keys), max_size=3).map(tuple)
members = st.builds(
    MemberCounts, before=counts, after=counts, add=counts, remove=counts, reasserted=counts
)
changes = st.builds(
    Change,
    address=addresses,
    action=st.sampled_from(list(Action)),
    reason=texts,
    before=st.none() | attributes,
    after=st.none() | attributes,
    attributes=st.lists(
        st.builds(AttributeChange, path=texts, before=texts, after=texts), max_size=2
    ).map(tuple),
    members=members,
    sample=st.builds(Sample, add=samples, remove=samples),
)
findings = st.builds(
    Finding,
    severity=st.sampled_from(list(Severity)),
    code=st.one_of(st.sampled_from(["size", "rows-read"]), texts),
    summary=texts,
    detail=texts,
    address=st.none() | addresses,
    sample=samples,
    figures=st.none() | st.builds(Figures, count=counts, segments=st.just(("segment.a",))),
)
flows = st.lists(
    st.builds(Flow, leaves=addresses, joins=addresses, users=st.integers(1, 10**7)), max_size=15
).map(lambda found: tuple(sorted(found, key=lambda flow: -flow.users)))


@st.composite
def plans(draw: Callable[..., object]) -> Plan:
    """Return a plan of hostile text; the changes are repeated to make it large."""
    repeated = draw(st.sampled_from([1, 1, 9, 200]))
    assert isinstance(repeated, int)
    fields = {
        "changes": st.lists(changes, max_size=4).map(lambda found: tuple(found * repeated)),
        "findings": st.lists(findings, max_size=4).map(lambda found: tuple(found * repeated)),
        "flows": st.none() | flows,
        "account": st.none() | texts,
        "env_name": texts,
        "commit": texts,
        "digest": texts,
        "made_at": st.sampled_from([0.0, 1.8e9]),
        "variables": st.dictionaries(texts, texts, max_size=2),
        "targeted": st.lists(texts, max_size=2).map(tuple),
        "requests": st.builds(Requests, create=counts, update=counts, naive=counts, floor=counts),
        "estimate": st.builds(Estimate, billable_events=counts),
    }
    return build_plan(**{name: draw(strategy) for name, strategy in fields.items()})


limits = st.sampled_from([MIN_COMMENT_BYTES, 8_192, 32_768, 65_536, 1_000_000])


@settings(max_examples=60, deadline=None)
@given(plan=plans(), limit=limits, shown=st.sampled_from([IN_FULL, HASHED, NOT_SHOWN]))
def test_a_comment_fits_and_is_whole(plan: Plan, limit: int, shown: MemberFormat) -> None:
    page = markdown.render(plan, identities=shown, max_bytes=limit, marker=MARKER)
    assert len(page.encode()) <= limit
    check_whole(page, marker=MARKER)


@settings(max_examples=60, deadline=None)
@given(plan=plans(), limit=limits)
def test_a_comment_shows_what_a_plan_holds_as_text(plan: Plan, limit: int) -> None:
    page = markdown.render(plan, identities=IN_FULL, max_bytes=limit, marker=MARKER)
    check_inert(page, marker=MARKER, values=["<script", "](http", "`code`", "\x1b", "\u202e"])


@settings(max_examples=30, deadline=None)
@given(plan=plans(), limit=limits)
def test_the_result_and_every_kind_of_error_are_shown(plan: Plan, limit: int) -> None:
    page = markdown.render(plan, max_bytes=limit, marker=MARKER)
    heading = page.split("\n")[0]
    errors = len(plan.error_findings)
    assert (f"Refused: {errors:,} error" in heading) == bool(errors)
    assert (f"This plan cannot be applied: {errors:,} error" in page) == bool(errors)
    destroyed = plan.count(Action.DESTROY)
    assert (f"estroys {destroyed:,} segment" in heading) == bool(destroyed)
    assert ("No changes" in heading) == plan.is_empty


@pytest.mark.parametrize("limit", [MIN_COMMENT_BYTES, 65_536])
def test_a_thousand_errors_of_twenty_kinds_leave_the_comment_whole(limit: int) -> None:
    errors = tuple(
        Finding(
            severity=Severity.ERROR,
            code=f"kind-{number % 20}-" + "&" * 90,
            summary="<" * 300,
            detail="<\n" * 30,
        )
        for number in range(1_000)
    )
    plan = build_plan(
        findings=errors, env_name="<" * 90, targeted=("<" * 400,), variables={"<" * 90: "<" * 900}
    )
    page = markdown.render(plan, max_bytes=limit, marker=MARKER)
    assert len(page.encode()) <= limit
    check_whole(page, marker=MARKER)
    assert "Refused: 1,000 errors." in page
    assert "12 other kinds" in page
