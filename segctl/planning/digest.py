"""The digest of a plan: who approves it approves all that it covers."""

import hashlib
import json

from segctl.core.codec import to_plain
from segctl.plan.model import Plan


def plan_digest(plan: Plan, delta_digest: str) -> str:
    """Return the SHA-256 of what the plan does, and of what it was made from.

    The digest covers what is sent, what is recorded, and the limits and overrides: who approves a
    digest approves all of these. It does not cover packing, the wording of reasons, findings that
    do not refuse the plan, and what depends on which sources had to be read.
    """
    content = {
        "account": plan.account,
        "host": plan.host,
        "environment": plan.env_name,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "workspace": plan.workspace_digest,
        "variables": dict(plan.variables),
        "targeted": plan.targeted,
        "destroy": plan.destroy,
        "delta": delta_digest,
        "settings": [
            plan.max_destroys,
            plan.max_refused_percent,
            plan.settle_seconds,
            plan.counting,
            plan.rules_digest,
            to_plain(plan.tolerance),
        ],
        "limits": {
            "guards": to_plain(plan.guards),
            "allow": to_plain(plan.allow),
            "freezes": to_plain(plan.freezes),
            "month": to_plain(plan.month),
            "shapes": to_plain(plan.shapes),
            "time_zone": plan.time_zone,
        },
        "sources": to_plain(plan.sources),
        "rules": plan.rules,
        "restrictions": [
            to_plain([known.key, known.rows, known.listed, known.forms])
            for known in plan.restrictions
        ],
        "changes": [
            {
                "address": change.address,
                "action": change.action,
                "before": to_plain(change.before),
                "after": to_plain(change.after),
                "members": to_plain(change.members),
                "definition": change.definition,
                "moved_from": change.moved_from,
                "imported": str(change.imported) if change.imported else None,
            }
            for change in plan.changes
        ],
        "targets": [
            [t.address, t.customer_segment_id, t.ct_segment_id, t.display_name, t.create, t.sources]
            for t in plan.targets
        ],
        "refusals": [[f.code, f.address, f.summary] for f in plan.error_findings],
    }
    # Plans that leave nothing out in this way have the digest of earlier versions.
    left_out = {"excluded": plan.excluded, "held": to_plain(plan.held)}
    content |= {name: value for name, value in left_out.items() if value}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
