"""Set algebra in the desired state: hold-outs, suppression, rules, segments that read others."""

import pytest

from segctl.core.diagnostics import Location, Severity
from segctl.core.holdout import Holdout
from segctl.manifests.dependencies import relevant_rules, required_segments, segment_inputs
from segctl.manifests.desired import (
    DesiredState,
    Disjoint,
    MemberLoad,
    SegmentSource,
    Size,
    Subset,
)
from tests.manifests.manifest_kit import Compile, desired_state, segment

SEGMENTS = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}
spec:
  displayName: Gold
  customerSegmentId: SEG-GOLD
  members: [{segment: active}]
  intersect: [{segment: far}]
  holdout: {percent: 2.5}
  rules: [{disjoint: [silver]}, {size: {min: 1}}]
---
{apiVersion: segctl/v1, kind: Segment, metadata: {name: active}, spec: {displayName: A}}
---
{apiVersion: segctl/v1, kind: Segment, metadata: {name: far}, spec: {displayName: F}}
---
{apiVersion: segctl/v1, kind: Segment, metadata: {name: app}, spec: {displayName: P,
  members: unmanaged}}
---
apiVersion: segctl/v1
kind: SegmentTable
metadata: {name: tiers}
spec:
  source: {file: {path: t.csv}}
  segmentColumn: tier
  segments:
    silver: {displayName: Silver, holdout: {percent: 5, salt: s}, exclude: [{segment: active}]}
---
apiVersion: segctl/v1
kind: Membership
metadata: {name: grant}
spec: {segments: [active], members: [{segment: far}]}
"""
PROJECT = """{suppress: [{file: {path: gone.txt}}],
rules: [{subset: {of: active, segments: [gold]}, severity: warning}]}"""


@pytest.fixture
def desired(compiled: Compile) -> DesiredState:
    return desired_state(compiled(SEGMENTS, spec=PROJECT.replace("\n", " ")))


def test_the_default_salt_of_a_hold_out_is_the_customer_segment_id(desired: DesiredState) -> None:
    holdouts = {s.address: s.holdout for s in desired.segments if s.holdout}
    assert holdouts == {
        "segment.gold": Holdout(percent=2.5, salt="SEG-GOLD"),
        "segment.silver": Holdout(percent=5, salt="s"),
    }


def test_suppression_applies_to_every_managed_segment(desired: DesiredState) -> None:
    [load] = [
        load for load in desired.loads if isinstance(load, MemberLoad) and load.role == "suppress"
    ]
    assert load.addresses == ("segment.active", "segment.far", "segment.gold", "segment.silver")


def test_a_segment_of_a_table_can_exclude_like_any_other(desired: DesiredState) -> None:
    roles = {
        (load.addresses, load.role): load.source.address
        for load in desired.loads
        if isinstance(load, MemberLoad) and isinstance(load.source, SegmentSource)
    }
    assert roles == {
        (("segment.gold",), "include"): "segment.active",
        (("segment.gold",), "intersect"): "segment.far",
        (("segment.silver",), "exclude"): "segment.active",
        (("segment.active",), "include"): "segment.far",
    }


def test_rules_come_from_the_project_and_from_segments(desired: DesiredState) -> None:
    gold, location = "segment.gold", Location(file="m.yaml", line=10, column=11)
    subset, *own = sorted(desired.rules, key=lambda rule: type(rule).__name__ != "Subset")
    assert isinstance(subset, Subset)
    assert (subset.addresses, subset.of, subset.severity) == (
        (gold,),
        "segment.active",
        Severity.WARNING,
    )
    assert own == [
        Disjoint(addresses=("segment.silver",), owner=gold, location=location),
        Size(addresses=(gold,), minimum=1, location=Location(file="m.yaml", line=10, column=33)),
    ]


def test_inputs_are_the_segments_that_a_segment_reads(desired: DesiredState) -> None:
    assert {k: v for k, v in segment_inputs(desired).items() if v} == {
        "segment.gold": {"segment.active", "segment.far"},
        "segment.active": {"segment.far"},
        "segment.silver": {"segment.active"},
    }


def test_a_plan_requires_the_inputs_of_its_segments_and_the_segments_in_rules(
    desired: DesiredState,
) -> None:
    rules = relevant_rules(desired, ["segment.gold"])
    assert len(rules) == 3
    assert required_segments(desired, ["segment.gold"], rules) == {
        "segment.active": "segment.gold reads it",
        "segment.far": "segment.gold reads it",
        "segment.silver": "the rule at m.yaml:10:11 names it",
    }


def test_rules_about_the_inputs_of_a_planned_segment_are_relevant(desired: DesiredState) -> None:
    kinds = [type(rule).__name__ for rule in relevant_rules(desired, ["segment.silver"])]
    assert sorted(kinds) == ["Disjoint", "Subset"]
    assert relevant_rules(desired, ["segment.far"]) == ()


def test_a_long_cycle_is_shown_by_its_beginning_and_end(compiled: Compile) -> None:
    ring = [
        segment(f"s{n}", f"displayName: S{n}, members: [{{segment: s{(n + 1) % 2_000}}}]")
        for n in range(2_000)
    ]
    [found] = compiled("---\n".join(ring)).diagnostics
    assert found.summary == (
        "these segments read each other in a cycle: s0 → s1 → s2 → s3 → s4 → "
        "… (1,991 more) … → s1996 → s1997 → s1998 → s1999 → s0."
    )
    assert found.detail.count(" reads ") == 10
