"""The parts that several schemas of ``schemas.py`` share."""

from segctl.core.approval import ApprovalTolerance, PairCounts
from segctl.core.certificate import Certificate
from segctl.manifests.desired import Lifecycle
from segctl.manifests.limits import Guards, PlanGuards, PlanOverride, SegmentOverride
from segctl.plan.model import Action, Figures, HeldBack, MemberCounts, Requests
from segctl.render import json_schema as js
from segctl.render.json_schema import Schema
from segctl.state.usage import MonthUsage

IGNORE_ADDED = (
    "A minor version of format_version may add fields to any object here; a reader ignores those "
    "that it does not know."
)
ADDRESS = "The address of the segment in the workspace, such as segment.gold."
FORMAT_VERSION = js.text(
    "The version of the format: major.minor. A major version breaks readers, a minor one adds.",
    pattern=r"^1\.[0-9]+$",
)
WRITER = js.text("The version of segctl that wrote it.")
SECONDS_1970 = "in seconds since 1970"
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
DIGEST = js.text(
    "Identifies the content of the plan. The same for the same inputs on any machine.",
    pattern="^sha256:[0-9a-f]{64}$",
)
LINEAGE = js.text("The id of the state's history; empty if there was no state.")
SERIAL = js.count("The version of the state that the plan was made from.")

GUARDS = js.dataclass_fields(
    Guards,
    {
        "max_remove_percent": "One plan may remove this percentage of the recorded members.",
        "from_members": "Limits in percent apply from this number of recorded members.",
        "allow_empty": "Whether a plan may remove all members.",
        "max_add_percent": "One plan may add this percentage of the recorded members.",
        "max_add": "One plan may add this number of members.",
        "max_new_shapes_percent": "The percentage of the added members that may have a shape that "
        "no recorded member has.",
    },
)
_OVERRIDE = {
    "until": "Its end, as it is written in the manifest.",
    "expires_at": f"Its end, {SECONDS_1970}.",
    "reason": "Why.",
    "shrink_percent": "The percentage of its rows that a source that takes members away may lose.",
}
LIFECYCLE = js.dataclass_fields(
    Lifecycle,
    {
        "prevent_destroy": "Whether a plan that destroys the segment is refused.",
        "on_remove": "What happens if the manifest is removed: its members are removed, or the "
        "segment is only forgotten.",
    },
)


def guards_and_lifecycle() -> dict[str, Schema]:
    """Return the definitions of ``Guards`` and ``Lifecycle``, as a plan shows them."""
    return {
        "Guards": js.record("Limits on what one plan may change.", GUARDS),
        "Lifecycle": js.record("What happens if the manifest is removed.", LIFECYCLE),
    }


def segment_override() -> Schema:
    """Return the schema of what a plan may do to one segment beyond its guards."""
    return js.stored_record(
        SegmentOverride,
        "What a plan may do to the segment beyond its guards, for a time.",
        {
            **_OVERRIDE,
            "removals": "The number of members that one plan may remove.",
            "additions": "The number of members that one plan may add.",
            "new_shapes": "The number of added members that may have a new shape.",
            "empty": "Whether one plan may remove all members.",
        },
    )


def limits() -> Schema:
    """Return the schema of the limits on a whole plan."""
    guards = js.dataclass_fields(
        PlanGuards,
        {
            "max_creates": "The number of segments that one plan may create.",
            "max_billable_events": "The number of billable events of one plan.",
            "max_requests": "The number of requests of one plan.",
            "max_billable_events_per_month": "The number of billable events of a calendar month.",
            "max_requests_per_month": "The number of requests of a calendar month.",
        },
    )
    override = js.stored_record(
        PlanOverride,
        "What a plan may do beyond these guards, for a time; null for nothing.",
        {
            **_OVERRIDE,
            "destroys": "The number of segments that one plan may destroy.",
            "creates": "The number of segments that one plan may create.",
            "billable_events": "The number of billable events of one plan.",
            "requests": "The number of requests of one plan.",
            "billable_events_per_month": "The number of billable events of a calendar month.",
            "requests_per_month": "The number of requests of a calendar month.",
            "freeze": "Whether a plan is applied during a change freeze.",
        },
    )
    tolerance = js.dataclass_record(
        ApprovalTolerance,
        "How far an apply on the approval of this plan may go beyond it, in each segment and "
        "direction. Both limits hold where both are set; without any, nothing goes beyond.",
        {
            "percent": "A percentage of the segment's members before or after, whichever are more.",
            "members": "A number of members.",
        },
    )
    return js.record(
        "Limits on the whole plan.",
        {
            "guards": js.record(
                "Limits on what one plan may do; null is no limit.",
                {
                    "max_destroys": js.count("The number of segments that one plan may destroy."),
                    **guards,
                },
            ),
            "allow": js.nullable(override),
            "tolerance": tolerance,
            "month": js.nullable(month()),
        },
    )


def month() -> Schema:
    """Return the schema of what was sent in a calendar month."""
    return js.stored_record(
        MonthUsage,
        "What was sent in a calendar month before.",
        {
            "month": "The month, such as 2026-11, in the time zone of the workspace.",
            "requests": "The requests, each once, however often it was tried.",
            "events": "The membership changes that may be billed.",
        },
    )


def finding_fields() -> dict[str, Schema]:
    """Return the fields that every finding and diagnostic has."""
    return {
        "severity": js.choice(
            "error refuses the plan or ended the run.", "error", "warning", "info"
        ),
        "code": js.text("A stable name.", pattern="^[a-z0-9]+(-[a-z0-9]+)*$"),
        "summary": js.text("What is wrong or was found. Its wording may change."),
        "detail": js.text("What to do about it; may be empty. Its wording may change."),
    }


def finding_places() -> dict[str, Schema]:
    """Return the fields that say what a finding is about."""
    return {
        "address": js.nullable(js.text("The segment it is about; null if it is about all.")),
        "figures": js.nullable(js.reference("Figures", "Its numbers; null if it has none.")),
    }


def _range() -> Schema:
    position = {
        "line": js.count("The line, from 1; 0 for the whole file."),
        "column": js.count("The column, from 1; 0 for the whole line."),
    }
    place = {
        "filename": js.text("The file, relative to the workspace, with forward slashes."),
        "start": js.record("The position.", position),
    }
    return js.nullable(js.record("Where it is in the user's files; null if nowhere.", place))


def held() -> Schema:
    """Return the schema of the segments that are held back."""
    return js.array(
        "Segments for which nothing is sent, by the reason for which they are held back.",
        js.dataclass_record(
            HeldBack,
            "Why segments are held back.",
            {
                "code": "The kind of the guard, rule or problem of a source.",
                "reason": "What is wrong, as a sentence.",
                "segments": "The addresses of the segments.",
                "place": "Where the rule, the source or the segment is: file:line:column.",
            },
        ),
    )


def figures() -> Schema:
    """Return the schema of a finding's numbers."""
    return js.dataclass_record(
        Figures,
        "The numbers of a finding.",
        {
            "count": "The number of users, rows, segments or pairs of them, as the code says.",
            "of": "Out of how many; null if that is not known.",
            "limit": "The number that the rule or guard allows or requires.",
            "segments": "The addresses it is about.",
            "place": "Where the rule or the source is: file:line:column.",
        },
    )


def requests() -> Schema:
    """Return the schema of the numbers of requests."""
    return js.dataclass_record(
        Requests,
        "Numbers of requests.",
        {
            "create": "Requests that create segments.",
            "update": "Requests that add and remove members.",
            "naive": "Update requests without packing: 100 users of one segment and action.",
            "floor": "A proven lower bound of the update requests.",
        },
    )


def certificates() -> Schema:
    """Return the schema of the proofs of the lower bound."""
    return js.array(
        "Proofs of the lower bound: of the changes sent at once, then of those that wait.",
        js.reference("Certificate"),
    )


def certificate() -> Schema:
    """Return the schema of the proof of a lower bound."""
    return js.dataclass_record(
        Certificate,
        "Why no packing has fewer requests; `segctl verify` checks it. docs/packing.md has the "
        "proofs. A field that the proof does not use is 0.",
        {
            "proof": "The theorem in docs/packing.md; empty if nothing is sent.",
            "floor": "No packing of these changes has fewer requests.",
            "price": "The price of a user slot in 1/1024; that of an operation slot is the rest.",
            "max_op_users": "Operations with more users are left out.",
            "row_ops": "Of each user, the operations that the fewest users have; so many of them.",
            "max_row": "Users with up to so many operations are counted exactly.",
            "subset_ops": "Other users are counted by sets of up to so many operations; by widths, "
            "the size of the sets that are counted.",
            "blocks": "By widths, the blocks of operations, or of users, that have such a set.",
            "least_group": "By widths, the fewest users, or operations, that are examined.",
        },
    )


def diagnostic() -> Schema:
    """Return the schema of a diagnostic: a finding, a problem, or an error."""
    places = {**finding_places(), "range": _range()}
    return js.record(
        "A finding of the plan, a problem in the user's files, or the error that ended the run.",
        {**finding_fields(), **places},
        optional=tuple(places),
    )


def approval_definitions() -> dict[str, Schema]:
    """Return the definitions of ``Approval`` and of all that it has."""
    counts = js.dataclass_fields(
        PairCounts,
        {
            "approved": "Those of the approved plan.",
            "sent": "Those of today's plan.",
            "beyond": "Those of today's plan that were not approved.",
            "earlier": "Those beyond it that earlier runs sent on the same approval.",
        },
    )
    counts["dropped"] = js.count("Those that were approved and are not sent.")
    problems = js.array("What was not approved. Its wording may change.", {"type": "string"})
    segment = {
        "address": js.text(ADDRESS),
        "beyond": js.flag("Whether it changes more than was approved and is tolerated."),
        "tolerance": js.count("Changes that may go beyond, in each direction."),
        "intolerance": js.text("Why nothing is tolerated; may be empty. Its wording may change."),
        "add": js.reference("PairCounts", "Members to add."),
        "remove": js.reference("PairCounts", "Members to remove."),
        "problems": problems,
    }
    approval = {
        "digest": DIGEST,
        "beyond": js.flag("Whether it is more than was approved, so that nothing is sent."),
        "problems": problems,
        "segments": js.array("The segments that differ.", js.record("One segment.", segment)),
    }
    return {
        "Approval": js.record("Today's plan compared with the approved plan.", approval),
        "PairCounts": js.record("Membership changes in one direction.", counts),
    }


def made() -> Schema:
    """Return the schema of when and from what a plan was made."""
    return js.record(
        "When and from what the plan was made.",
        {
            "at": js.nullable(js.number(f"When, {SECONDS_1970}.")),
            "commit": js.nullable(js.text("The commit that the CI job names.")),
            "account": js.nullable(js.text("The account of CleverTap, if it was known.")),
            "host": js.text("The host of the service, such as in1.api.clevertap.com."),
            "environment": js.nullable(js.text("The environment of segctl.yaml; null for none.")),
            "variables": js.text_map("The variables with their values."),
        },
    )


def summary() -> Schema:
    """Return the schema of the numbers of changes by action."""
    counts = {
        str(action): js.count(f"Segments with the action {action}.")
        for action in Action
        if action is not Action.NO_OP
    }
    counts["members_add"] = js.count("Memberships to add, summed over the segments.")
    counts["members_remove"] = js.count("Memberships to remove, summed over the segments.")
    return js.record("Changes by action, and memberships.", counts)


def _change() -> Schema:
    return js.record(
        "What the plan does with one segment.",
        {
            "address": js.text(ADDRESS, pattern="^segment\\."),
            "action": js.choice("What the plan does with the segment.", *map(str, Action)),
            "reason": js.text("Why. Its wording may change."),
            "moved_from": js.nullable(
                js.text("The address at which the segment is recorded, if it is another one.")
            ),
            "imported": js.nullable(
                js.count("The members that an import block lists; null for other segments.")
            ),
            "before": js.nullable(js.reference("Attributes", "As recorded; null if it is not.")),
            "after": js.nullable(js.reference("Attributes", "As declared; null if it is not.")),
            "members": js.reference("MemberCounts"),
        },
    )


def change_definitions() -> dict[str, Schema]:
    """Return the definitions of ``Change`` and of all that it has."""
    return {
        "Change": _change(),
        "Attributes": js.record(
            "The attributes of a segment.",
            {
                "display_name": js.text("The name in CleverTap (segment_name)."),
                "customer_segment_id": js.nullable(js.text("The id that requests use.")),
                "labels": js.text_map("The labels of the manifest."),
                "managed": js.flag("False if its members are left as they are."),
                "guards": js.reference("Guards"),
                "allow": js.nullable(segment_override()),
                "lifecycle": js.reference("Lifecycle"),
            },
        ),
        **guards_and_lifecycle(),
        "MemberCounts": js.dataclass_record(
            MemberCounts,
            "Numbers of users.",
            {
                "before": "Recorded members.",
                "after": "Members once the plan is applied.",
                "add": "Members to add, without the reasserted ones.",
                "remove": "Members to remove, without the reasserted ones.",
                "reasserted": "Changes that repeat a request without an answer.",
                "quarantined": "Changes that CleverTap refused earlier; they are not sent.",
                "held_out": "Users left out by a hold-out who would be members otherwise.",
                "suppressed": "Users left out by suppression who would be members otherwise.",
            },
        ),
    }
