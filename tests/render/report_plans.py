"""Plans for the HTML report: with moves between segments, refused, hostile, and very large."""

from dataclasses import replace

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

MARKUP = (
    "</script></style></title><script>document.title='ran'</script>"
    "<img src=http://127.0.0.1:9/x onerror=\"document.title='ran'\">"
    "\"' onmouseover=alert(1) x='<svg/onload=alert(2)> javascript:alert(3) "
    "{{ 7*7 }} *{display:none} url(http://127.0.0.1:9/y) <!-- ]]>"
)
CONTROLS = "\x1b[2J\r\n\x00\u202eevil\u2066\u200b ::error::x 👩‍👩‍👧 🎯 עברית"
HOSTILE = f"{MARKUP}{CONTROLS}"
LONG = "long" * 2_000


def build_plan(*changes: Change, **more: object) -> Plan:
    """Return a plan with facts of its origin. ``more`` overrides any field."""
    fields: dict[str, object] = {
        "lineage": "0b54a1c2-7d1f-4c39-9b7e-2f1f0c6d4e11",
        "serial": 41,
        "account": "WRK-485-456Z",
        "host": "https://in1.api.clevertap.com",
        "workspace_digest": "sha256:" + "1" * 64,
        "digest": "sha256:" + "3fc9b689459d738f" * 4,
        "segctl_version": "0.4.0",
        "env_name": "production",
        "made_at": 1_796_300_000.0,
        "commit": "8a936ce0f1b2c3d4e5f60718293a4b5c6d7e8f90",
        "variables": {"day": "2026-11-27", "tier_min": "250"},
        "changes": changes,
        **more,
    }
    return Plan(**fields)  # type: ignore[arg-type]  # fields by name


def _named(name: str, key: str, **more: object) -> Attributes:
    return Attributes(display_name=name, customer_segment_id=key, **more)  # type: ignore[arg-type]  # fields by name


def _users(prefix: str, count: int) -> tuple[tuple[Kind, str], ...]:
    return tuple((Kind.IDENTITY, f"{prefix}{n:02}@example.com") for n in range(count))


def _tier(key: str, name: str, before: int, add: int, remove: int) -> Change:
    return Change(
        address=f"segment.{key}",
        action=Action.UPDATE,
        reason=f"{add:,} members join, {remove:,} leave",
        before=_named(name, f"loyalty-{key}"),
        after=_named(name, f"loyalty-{key}"),
        members=MemberCounts(before=before, after=before + add - remove, add=add, remove=remove),
        sample=Sample(add=_users("join", min(add, 10)), remove=_users("leave", min(remove, 10))),
    )


GOLD = replace(
    _tier("gold", "Gold members", 12_004, 816, 204),
    after=_named("Gold members of the loyalty programme", "loyalty-gold"),
    attributes=(
        AttributeChange(
            path="displayName",
            before="Gold members",
            after="Gold members of the loyalty programme",
        ),
        AttributeChange(path="labels.team", before=None, after="growth"),
        AttributeChange(path="guards.maxRemovePercent", before=30.0, after=40.0),
    ),
)
SILVER = _tier("silver", "Silver members", 31_220, 1_490, 912)
BRONZE = _tier("bronze", "Bronze members", 74_810, 402, 1_644)
COUNCIL = Change(
    address="segment.launch-council",
    action=Action.CREATE,
    reason="it is declared and not recorded",
    after=_named("Launch Council", "launch-council", labels={"team": "crm"}),
    members=MemberCounts(after=240, add=240),
    sample=Sample(add=_users("council", 10)),
)
SPRING = Change(
    address="segment.spring-sale",
    action=Action.DESTROY,
    reason="its manifest is gone",
    before=_named("Spring sale 2026", "spring-2026"),
    members=MemberCounts(before=8_114, remove=8_114),
    sample=Sample(remove=_users("spring", 10)),
)
LOYAL = Change(
    address="segment.loyal",
    action=Action.NO_OP,
    reason="",
    before=_named("Loyal", "loyal"),
    after=_named("Loyal", "loyal"),
    members=MemberCounts(before=5_310, after=5_310),
)
FLOWS = (
    Flow(leaves="segment.bronze", joins="segment.silver", users=1_310),
    Flow(leaves="segment.silver", joins="segment.gold", users=690),
    Flow(leaves="segment.silver", joins="segment.bronze", users=180),
    Flow(leaves="segment.spring-sale", joins="segment.bronze", users=171),
    Flow(leaves="segment.gold", joins="segment.silver", users=122),
    Flow(leaves="segment.bronze", joins="segment.launch-council", users=4),
)
NOTES = tuple(
    Finding(
        severity=Severity.INFO,
        code="rows-read",
        summary=f"segments/tiers.yaml:{row}:7: data/tier-{row}.csv: {row * 1_204:,} rows, "
        "no duplicates",
        figures=Figures(count=row * 1_204, place=f"segments/tiers.yaml:{row}:7"),
    )
    for row in (11, 24, 37)
)
RENAMED = Finding(
    severity=Severity.WARNING,
    code="no-rename",
    address="segment.gold",
    summary='segment.gold: displayName is "Gold members of the loyalty programme", but CleverTap '
    'keeps the name "Gold members"',
    detail="The service cannot rename a segment. Only the state records the new name.",
)
SHELL = Finding(
    severity=Severity.INFO,
    code="delete-shell",
    address="segment.spring-sale",
    summary='the emptied segment "Spring sale 2026" (spring-2026) stays in CleverTap',
    detail="Delete it in the dashboard: the service has no call for that. If its manifest returns "
    "before that, segctl adopts the segment.",
)

SMALL = build_plan(
    GOLD,
    SILVER,
    BRONZE,
    COUNCIL,
    SPRING,
    LOYAL,
    requests=Requests(create=1, update=142, naive=171, floor=139),
    estimate=Estimate(seconds=48.0, billable_events=13_822),
    findings=(RENAMED, *NOTES, SHELL),
    flows=FLOWS,
)

REFUSED = build_plan(
    replace(
        GOLD,
        reason="7 members join, 9,612 leave",
        members=MemberCounts(before=12_004, after=2_399, add=7, remove=9_612),
    ),
    SILVER,
    BRONZE,
    COUNCIL,
    SPRING,
    LOYAL,
    requests=Requests(create=1, update=231, naive=260, floor=230),
    estimate=Estimate(seconds=77.0, billable_events=23_230),
    findings=(
        Finding(
            severity=Severity.ERROR,
            code="max-remove-percent",
            address="segment.gold",
            summary="segment.gold loses 9,612 of 12,004 members (80.1%), more than "
            "spec.guards.maxRemovePercent allows (40%)",
            detail="If this is intended, raise spec.guards.maxRemovePercent in its manifest. If "
            "not, check its sources.",
            figures=Figures(count=9_612, of=12_004, limit=4_801, segments=("segment.gold",)),
        ),
        Finding(
            severity=Severity.ERROR,
            code="subset",
            address="segment.loyal",
            summary="segment.loyal has 12 members outside of segment.silver; the rule at "
            "segctl.yaml:31:7 allows none",
            detail="Fix their sources, or intersect the two: intersect: [{segment: silver}] in "
            "loyal.",
            sample=_users("outside", 3),
            figures=Figures(
                count=12, limit=0, segments=("segment.loyal",), place="segctl.yaml:31:7"
            ),
        ),
        RENAMED,
        *NOTES,
        SHELL,
    ),
    flows=FLOWS,
)

UNCHANGED = build_plan(LOYAL, findings=NOTES)

TRAP = Change(
    address=f"segment.{HOSTILE}",
    action=Action.UPDATE,
    reason=HOSTILE,
    before=_named(LONG, HOSTILE),
    after=_named(HOSTILE, HOSTILE, labels={HOSTILE: HOSTILE}),
    attributes=(
        AttributeChange(path=HOSTILE, before=LONG, after=HOSTILE),
        AttributeChange(path=f"labels.{HOSTILE}", before=None, after=HOSTILE),
    ),
    members=MemberCounts(before=10, after=11, add=3, remove=2),
    sample=Sample(add=((Kind.IDENTITY, HOSTILE), (Kind.GUID, LONG)), remove=_users("x", 2)),
)
TRAPPED = build_plan(
    TRAP,
    replace(TRAP, address="segment.other", action=Action.DESTROY),
    replace(TRAP, address=f"segment.same{HOSTILE}", action=Action.NO_OP),
    findings=tuple(
        Finding(
            severity=severity,
            code=HOSTILE,
            address=f"segment.{HOSTILE}",
            summary=HOSTILE,
            detail=f"{HOSTILE}\n{LONG}",
            sample=((Kind.IDENTITY, HOSTILE),),
        )
        for severity in Severity
    ),
    account=HOSTILE,
    host=HOSTILE,
    lineage=HOSTILE,
    digest=HOSTILE,
    segctl_version=HOSTILE,
    env_name=HOSTILE,
    commit=HOSTILE,
    variables={HOSTILE: HOSTILE, "long": LONG},
    targeted=(HOSTILE,),
    flows=(
        Flow(leaves=f"segment.{HOSTILE}", joins="segment.other", users=2),
        Flow(leaves="segment.other", joins=HOSTILE, users=1),
    ),
)


def large_plan(segments: int = 2_500, changes: int = 1_000_000) -> Plan:
    """Return a plan with this many changed segments and membership changes, half as many
    unchanged segments, moves between neighbours, and findings of several kinds."""
    made, each = [], changes // segments
    for n in range(segments):
        key = f"{('north', 'south', 'east', 'west')[n % 4]}-tier-{n:04}"
        # Most segments lose little; every 50th is destroyed, every 40th created.
        remove, before = each * (n % 7) // 12, 800 + n * n % 90_000
        action = Action.UPDATE
        if n % 50 == 49:
            action, remove, before = Action.DESTROY, each, each
        elif n % 40 == 39:
            action, remove, before = Action.CREATE, 0, 0
        remove = min(remove, before)
        add = 0 if action is Action.DESTROY else each - min(remove, each)
        attributes = _named(f"Customers of tier {n:04}", f"crm-{key}", labels={"team": "crm"})
        made.append(
            Change(
                address=f"segment.{key}",
                action=action,
                reason=f"{add:,} members join, {remove:,} leave",
                before=None if action is Action.CREATE else attributes,
                after=None if action is Action.DESTROY else attributes,
                members=MemberCounts(
                    before=before, after=before + add - remove, add=add, remove=remove
                ),
                sample=Sample(
                    add=_users(f"{n}new", 10 if add else 0),
                    remove=_users(f"{n}old", 10 if remove else 0),
                ),
            )
        )
    same = [replace(LOYAL, address=f"segment.loyal-{n:04}") for n in range(segments // 2)]
    notes = [
        Finding(
            severity=Severity.INFO,
            code="suppressed",
            address=change.address,
            summary=f"{change.address}: 12 suppressed by spec.suppress",
            figures=Figures(count=12, segments=(change.address,)),
        )
        for change in made
    ]
    errors = [
        replace(
            REFUSED.findings[0],
            address=made[n].address,
            summary=f"{made[n].address} loses 9,612 of 12,004 members (80.1%), more than "
            "spec.guards.maxRemovePercent allows (40%)",
            figures=Figures(count=9_612 - n, limit=4_801, segments=(made[n].address,)),
        )
        for n in range(3, min(segments, 300), 10)
    ]
    flows = [
        Flow(leaves=made[n].address, joins=made[(n * 7 + 1) % segments].address, users=users)
        for n in range(0, segments, 2)
        if (users := max(2, 40_000 // (n + 20)))
    ]
    return build_plan(
        *made,
        *same,
        requests=Requests(create=7, update=11_402, naive=14_100, floor=11_002),
        estimate=Estimate(seconds=3_820.0, billable_events=changes),
        findings=(*errors, RENAMED, *notes, *NOTES),
        flows=tuple(sorted(flows, key=lambda flow: -flow.users)),
    )
