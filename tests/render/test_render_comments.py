"""Comments as whole pages, to be read by a person. SEGCTL_REGENERATE=1 rewrites the pages."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from segctl.core.diagnostics import Severity
from segctl.manifests.limits import Guards
from segctl.plan.model import Action, Estimate, Finding, Flow, MemberCounts, Plan, Requests
from segctl.render import markdown
from tests.render.comment_kit import check_whole
from tests.render.conftest import CREATED, GOLD, HASHED, HOSTILE, ODDITIES, PLANS, attributes, plan

GOLDEN = Path(__file__).parent / "comments"


def tiers() -> Plan:
    """Return a plan in which members move between tiers, and one tier is destroyed."""
    silver = replace(
        GOLD,
        address="segment.silver",
        reason="its members differ",
        before=attributes("Silver Tier", "SEG-SILVER"),
        after=attributes("Silver Tier", "SEG-SILVER"),
        attributes=(),
        members=MemberCounts(before=84_210, after=82_116, add=310, remove=2_404),
    )
    gold = replace(
        silver,
        address="segment.gold",
        before=attributes("Gold Tier", "SEG-GOLD"),
        after=attributes("Gold Tier", "SEG-GOLD"),
        members=MemberCounts(before=12_004, after=14_102, add=2_131, remove=33),
    )
    lapsed = replace(
        ODDITIES[1],
        address="segment.lapsed",
        before=attributes("Lapsed", "SEG-LAPSED"),
        members=MemberCounts(before=512, remove=512),
    )
    return plan(
        replace(CREATED, members=MemberCounts(after=240, add=240)),
        gold,
        lapsed,
        silver,
        flows=(
            Flow(leaves="segment.silver", joins="segment.gold", users=2_098),
            Flow(leaves="segment.lapsed", joins="segment.silver", users=287),
            Flow(leaves="segment.silver", joins="segment.council", users=240),
            Flow(leaves="segment.gold", joins="segment.silver", users=23),
        ),
        targets=PLANS["everyday"].targets,
        requests=Requests(create=1, update=57, naive=63, floor=57),
        estimate=Estimate(seconds=16.0, billable_events=5_630),
        env_name="production",
        commit="3f08539d" * 5,
        made_at=1_795_000_000.0,
        findings=(
            Finding(
                severity=Severity.INFO,
                code="rows-read",
                summary="segments.yaml:9:7: tiers.csv: 96,458 rows, no duplicates",
            ),
        ),
    )


def alike() -> Plan:
    """Return a plan in which most segments gain one member."""
    many = [
        replace(
            GOLD,
            address=f"segment.city_{number:03}",
            reason="its members differ",
            after=attributes(f"City {number}", f"CITY-{number}"),
            attributes=(),
            members=MemberCounts(before=90 + number, after=91 + number, add=1),
        )
        for number in range(412)
    ]
    return replace(
        tiers(),
        changes=(*tiers().changes, *many),
        requests=Requests(create=1, update=62, naive=475, floor=61),
        estimate=Estimate(seconds=17.6, billable_events=6_042),
    )


def evil() -> Plan:
    """Return a plan with hostile text in every name and value."""
    trap = PLANS["hostile"].changes[0]
    quoted = '"]; click s0 "https://evil.example"'
    names = (HOSTILE, quoted, "</details><!-- segctl plan -->", "::error::x ##[error]y")
    traps = [
        replace(
            trap,
            address=f"segment.{name}",
            action=action,
            before=attributes(name, name, guards=Guards()),
            after=attributes(name, name, labels={name: name}),
        )
        for name, action in zip(
            names, (Action.DESTROY, Action.UPDATE, Action.REPLACE, Action.CREATE), strict=True
        )
    ]
    errors = [
        Finding(severity=Severity.ERROR, code=name, summary=name, detail=f"/close\n{name}")
        for name in names
    ]
    return plan(
        *traps,
        findings=tuple(errors),
        flows=(Flow(leaves=traps[0].address, joins=traps[1].address, users=7),),
        account=HOSTILE,
        variables={HOSTILE: HOSTILE},
        targeted=names,
        env_name="@team #1",
    )


COMMENTS: Mapping[str, tuple[Plan, int]] = {
    "tiers": (tiers(), 65_536),
    "alike": (alike(), 65_536),
    "not-counted": (replace(tiers(), flows=None), 65_536),
    "refused": (replace(PLANS["refused"], changes=ODDITIES), 65_536),
    "smallest": (replace(alike(), findings=PLANS["ruled"].findings), 4_096),
    "evil": (evil(), 65_536),
    "unchanged": (replace(PLANS["unchanged"], findings=tiers().findings), 65_536),
}


@pytest.mark.parametrize("name", COMMENTS)
def test_a_comment_matches_its_golden_page(name: str) -> None:
    shown, limit = COMMENTS[name]
    page = markdown.render(shown, identities=HASHED, max_bytes=limit)
    path = GOLDEN / f"{name}.md"
    if os.environ.get("SEGCTL_REGENERATE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(page, encoding="utf-8")
    assert page == path.read_text(encoding="utf-8")
    check_whole(page, marker=markdown.MARKER)
    assert len(page.encode()) <= limit
