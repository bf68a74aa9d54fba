"""Set algebra as compiled: holdouts, suppression, rules, and what a plan of some must know."""

from collections.abc import Callable

from segctl.core.diagnostics import Location, Severity
from segctl.core.holdout import Holdout
from segctl.manifests.compile import Compiled
from segctl.manifests.dependencies import relevant_rules, required_segments, segment_inputs
from segctl.manifests.desired import (
    DesiredState,
    Disjoint,
    MemberLoad,
    SegmentSource,
    Size,
    Subset,
)

Compile = Callable[..., Compiled]

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


def desired(compiled: Compile) -> DesiredState:
    found = compiled(SEGMENTS, spec=PROJECT.replace("\n", " ")).desired
    assert found is not None
    return found


def test_the_salt_of_a_hold_out_is_the_customer_segment_id(compiled: Compile) -> None:
    holdouts = {s.address: s.holdout for s in desired(compiled).segments if s.holdout}
    assert holdouts == {
        "segment.gold": Holdout(percent=2.5, salt="SEG-GOLD"),
        "segment.silver": Holdout(percent=5, salt="s"),
    }


def test_suppression_is_about_every_managed_segment(compiled: Compile) -> None:
    [load] = [
        load
        for load in desired(compiled).loads
        if isinstance(load, MemberLoad) and load.role == "suppress"
    ]
    assert load.addresses == ("segment.active", "segment.far", "segment.gold", "segment.silver")


def test_a_segment_of_a_table_excludes_as_any_other(compiled: Compile) -> None:
    roles = {
        (load.addresses, load.role): load.source.address
        for load in desired(compiled).loads
        if isinstance(load, MemberLoad) and isinstance(load.source, SegmentSource)
    }
    assert roles == {
        (("segment.gold",), "include"): "segment.active",
        (("segment.gold",), "intersect"): "segment.far",
        (("segment.silver",), "exclude"): "segment.active",
        (("segment.active",), "include"): "segment.far",
    }


def test_rules_come_from_the_project_and_from_segments(compiled: Compile) -> None:
    gold, at = "segment.gold", Location(file="m.yaml", line=10, column=11)
    subset, *own = sorted(desired(compiled).rules, key=lambda rule: type(rule).__name__ != "Subset")
    assert isinstance(subset, Subset)
    assert (subset.addresses, subset.of, subset.severity) == (
        (gold,),
        "segment.active",
        Severity.WARNING,
    )
    assert own == [
        Disjoint(addresses=("segment.silver",), owner=gold, location=at),
        Size(addresses=(gold,), minimum=1, location=Location(file="m.yaml", line=10, column=33)),
    ]


def test_who_reads_whom_is_told_by_address(compiled: Compile) -> None:
    assert {k: v for k, v in segment_inputs(desired(compiled)).items() if v} == {
        "segment.gold": {"segment.active", "segment.far"},
        "segment.active": {"segment.far"},
        "segment.silver": {"segment.active"},
    }


def test_a_plan_of_some_knows_what_they_are_made_of_and_what_rules_name(compiled: Compile) -> None:
    workspace = desired(compiled)
    rules = relevant_rules(workspace, ["segment.gold"])
    assert len(rules) == 3
    assert required_segments(workspace, ["segment.gold"], rules) == {
        "segment.active": "segment.gold reads it",
        "segment.far": "segment.gold reads it",
        "segment.silver": "the rule at m.yaml:10:11 names it",
    }


def test_rules_about_what_a_planned_segment_is_made_of_are_asked_too(compiled: Compile) -> None:
    workspace = desired(compiled)
    kinds = [type(rule).__name__ for rule in relevant_rules(workspace, ["segment.silver"])]
    assert sorted(kinds) == ["Disjoint", "Subset"]
    assert relevant_rules(workspace, ["segment.far"]) == ()


def test_of_a_long_circle_the_beginning_and_the_end_are_told(compiled: Compile) -> None:
    document = "{{apiVersion: segctl/v1, kind: Segment, metadata: {{name: s{}}}, "
    document += "spec: {{displayName: S{}, members: [{{segment: s{}}}]}}}}"
    ring = [document.format(n, n, (n + 1) % 2_000) for n in range(2_000)]
    [found] = compiled("\n---\n".join(ring)).diagnostics
    assert found.summary == (
        "these segments read each other in a circle: s0 → s1 → s2 → s3 → s4 → "
        "… (1,991 more) … → s1996 → s1997 → s1998 → s1999 → s0."
    )
    assert found.detail.count(" reads ") == 10
