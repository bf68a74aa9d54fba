"""Example plans for the views, one for each kind of page that a reviewer may see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from segctl.core.diagnostics import Location, Severity
from segctl.core.identity import Kind
from segctl.core.member_hash import KEY_DIGITS
from segctl.manifests.desired import Disjoint, Lifecycle, Size, Subset
from segctl.manifests.limits import Guards
from segctl.plan.model import (
    Action,
    AttributeChange,
    Attributes,
    Change,
    Estimate,
    Finding,
    MemberCounts,
    Plan,
    Requests,
    Sample,
    Target,
    Users,
)
from segctl.plan.rules import check_rules
from segctl.render.member_format import Identities, MemberFormat

HASHED = MemberFormat(mode=Identities.MASKED, key="5" * KEY_DIGITS)
"""How views show members where nothing is a terminal."""

HOSTILE = 'x\x1b[2J\n| <script>alert(1)</script> @team `id` "q" \u202eevil ![a](http://b)'


def users(prefix: str, count: int) -> tuple[tuple[Kind, str], ...]:
    return tuple((Kind.IDENTITY, f"{prefix}{n:02}@example.com") for n in range(count))


def attributes(name: str, key: str, **more: object) -> Attributes:
    return Attributes(display_name=name, customer_segment_id=key, **more)  # type: ignore[arg-type]  # fields by name


def plan(*changes: Change, **more: object) -> Plan:
    fields: dict[str, object] = {
        "lineage": "0b54a1c2",
        "serial": 4,
        "account": "TEST-ACCOUNT",
        "host": "https://in1.api.clevertap.com",
        "workspace_digest": "sha256:" + "1" * 64,
        "digest": "sha256:" + "a" * 64,
        "segctl_version": "0.1.0",
        "changes": changes,
        **more,
    }
    return Plan(**fields)  # type: ignore[arg-type]  # fields by name


GOLD = Change(
    address="segment.gold",
    action=Action.UPDATE,
    reason="16 members join, 600 leave",
    before=attributes("Gold", "SEG-GOLD"),
    after=attributes("Gold Users", "SEG-GOLD", labels={"team": "growth"}),
    attributes=(
        AttributeChange(path="displayName", before="Gold", after="Gold Users"),
        AttributeChange(path="labels.team", before=None, after="growth"),
        AttributeChange(path="guards.maxRemovePercent", before=30.0, after=60.0),
    ),
    members=MemberCounts(before=12_004, after=11_420, add=16, remove=600),
    sample=Sample(add=users("new", 10), remove=users("old", 10)),
    target=0,
)
CREATED = Change(
    address="segment.council",
    action=Action.CREATE,
    reason="it is declared and not recorded",
    after=attributes("Launch Council", "council"),
    members=MemberCounts(after=2, add=2),
    sample=Sample(add=((Kind.GUID, "abcde12345"), (Kind.IDENTITY, "CT123456"))),
    target=1,
)
KEPT = Change(
    address="segment.loyal",
    action=Action.NO_OP,
    reason="",
    before=attributes("Loyal", "loyal"),
    after=attributes("Loyal", "loyal"),
    members=MemberCounts(before=310, after=310, quarantined=2),
)
ODDITIES = (
    Change(
        address="segment.adopted",
        action=Action.ADOPT,
        reason="the service still has its shell",
        after=attributes("Adopted", "adopted"),
        members=MemberCounts(after=1, add=1),
        sample=Sample(add=users("back", 1)),
    ),
    Change(
        address="segment.gone",
        action=Action.DESTROY,
        reason="its manifest is gone",
        before=attributes("Gone", "gone", lifecycle=Lifecycle(), guards=Guards()),
        members=MemberCounts(before=12, remove=12),
        sample=Sample(remove=users("leaver", 10)),
    ),
    Change(
        address="segment.forgotten",
        action=Action.FORGET,
        reason="its manifest is gone, and lifecycle.onRemove is forget",
        before=attributes("Forgotten", "forgotten"),
        members=MemberCounts(before=7, after=7),
    ),
    Change(
        address="segment.moved",
        action=Action.REPLACE,
        reason="customerSegmentId changed, and the service cannot rename a segment",
        before=attributes("Moved", "old-id"),
        after=attributes("Moved", "new-id"),
        attributes=(AttributeChange(path="customerSegmentId", before="old-id", after="new-id"),),
        members=MemberCounts(before=3, after=4, add=4, remove=3, reasserted=2, quarantined=1),
        sample=Sample(add=users("in", 4), remove=users("out", 3)),
    ),
    Change(
        address="segment.unmanaged",
        action=Action.CREATE,
        reason="it is declared and not recorded",
        after=attributes("Unmanaged", "unmanaged", managed=False),
    ),
)


class OverlappingSegments:
    """Segments of 12 users: the first two of a rule share them, and one user is outside."""

    def size(self, address: str) -> int:
        return 12 if address in TIERS else 0

    def shared(
        self, addresses: Sequence[str], owner: str | None
    ) -> Mapping[tuple[str, str], Users]:
        first, second, *_ = (owner, *addresses) if owner else addresses
        return {(first, second): Users(count=12, sample=users("both", 3))}

    def outside(self, addresses: Sequence[str], of: str) -> Mapping[str, Users]:
        guid = Users(count=1, sample=((Kind.GUID, "abcde12345"),))
        return {address: guid for address in addresses if address != of}


TIERS = ("segment.bronze", "segment.silver", "segment.gold")
RULE_LOCATION = Location(file="segctl.yaml", line=12, column=7)
RULES = (
    Disjoint(addresses=TIERS, location=RULE_LOCATION),
    Disjoint(
        addresses=TIERS[1:], owner=TIERS[0], severity=Severity.WARNING, location=RULE_LOCATION
    ),
    Subset(addresses=("segment.gold",), of="segment.active", location=RULE_LOCATION),
    Size(addresses=("segment.gold",), minimum=100, maximum=5000, location=RULE_LOCATION),
    Size(
        addresses=("segment.gold",), maximum=10, severity=Severity.WARNING, location=RULE_LOCATION
    ),
)

PLANS: Mapping[str, Plan] = {
    "everyday": plan(
        CREATED,
        GOLD,
        KEPT,
        targets=(
            Target(address="segment.gold", customer_segment_id="SEG-GOLD", display_name="Gold"),
            Target(
                address="segment.council",
                customer_segment_id="council",
                display_name="Launch Council",
                create=True,
            ),
        ),
        requests=Requests(create=1, update=7, naive=9, floor=7),
        estimate=Estimate(seconds=2.0, billable_events=618),
        findings=(
            Finding(
                severity=Severity.WARNING,
                code="no-rename",
                address="segment.gold",
                summary='segment.gold: displayName is "Gold Users", but CleverTap keeps the '
                'name "Gold"',
                detail="The service cannot rename a segment. Only the state records the new name.",
            ),
        ),
    ),
    "unchanged": plan(replace(KEPT, members=MemberCounts(before=310, after=310))),
    "held-back": plan(KEPT),
    "oddities": plan(
        *ODDITIES,
        requests=Requests(create=1, update=3, naive=6, floor=3),
        estimate=Estimate(seconds=130.0, billable_events=1),
        targeted=("segment.*",),
        targets=tuple(
            Target(address=a, customer_segment_id=a, display_name=a, create=True)
            for a in ("segment.moved", "segment.unmanaged")
        ),
    ),
    "refused": plan(
        ODDITIES[1],
        requests=Requests(update=1, naive=1, floor=1),
        estimate=Estimate(seconds=0.3, billable_events=12),
        findings=(
            Finding(
                severity=Severity.ERROR,
                code="max-remove-percent",
                address="segment.gone",
                summary="segment.gone loses 12 of 12 members (100.0%), more than "
                "spec.guards.maxRemovePercent allows (30%)",
                detail="If this is intended, raise spec.guards.maxRemovePercent in its manifest. "
                "If not, check its sources.",
            ),
            Finding(
                severity=Severity.INFO,
                code="delete-shell",
                address="segment.gone",
                summary='the emptied segment "Gone" (gone) stays in CleverTap',
                detail="Delete it in the dashboard: the service has no call for that. If its "
                "manifest returns before that, segctl adopts the segment.",
            ),
        ),
    ),
    "ruled": plan(
        replace(GOLD, members=replace(GOLD.members, held_out=612, suppressed=41)),
        requests=Requests(update=7, naive=9, floor=7),
        estimate=Estimate(seconds=2.0, billable_events=616),
        findings=tuple(check_rules(RULES, OverlappingSegments())),
    ),
    "hostile": plan(
        Change(
            address="segment.trap",
            action=Action.UPDATE,
            reason=HOSTILE,
            before=attributes("Trap", "trap"),
            after=attributes(HOSTILE, HOSTILE, labels={HOSTILE: HOSTILE}),
            attributes=(
                AttributeChange(path="displayName", before="Trap", after=HOSTILE),
                AttributeChange(path=f"labels.{HOSTILE}", before=None, after=HOSTILE),
            ),
            members=MemberCounts(before=1, after=2, add=1),
            sample=Sample(add=((Kind.IDENTITY, HOSTILE),)),
        ),
        findings=(
            Finding(severity=Severity.WARNING, code="trap", summary=HOSTILE, detail=HOSTILE),
        ),
        host=HOSTILE,
        targeted=(HOSTILE,),
    ),
}


@pytest.fixture
def example_plan() -> Callable[[str], Plan]:
    """Return the example plan of a name."""
    return PLANS.__getitem__
