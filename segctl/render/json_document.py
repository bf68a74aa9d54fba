"""The plan as the JSON document of the contract: for machines; it holds no identities.

``schemas/plan.schema.json`` describes it.  A minor step of ``FORMAT_VERSION`` adds
keys, which a reader must pass over; a major one breaks.
"""

import json
import re
from dataclasses import asdict
from typing import Any

from segctl.core.diagnostics import Diagnostic
from segctl.core.errors import SegctlError
from segctl.plan.model import Action, Attributes, Change, Finding, Plan

FORMAT_VERSION = "1.0"


def render(plan: Plan) -> str:
    """Give the document, indented, in ASCII, ending in a line break."""
    return json.dumps(document(plan), indent=2) + "\n"


def document(plan: Plan) -> dict[str, Any]:
    """Give the document as plain values."""
    return {
        "format_version": FORMAT_VERSION,
        "segctl_version": plan.segctl_version,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "digest": plan.digest,
        "changes": [change_object(change) for change in plan.changes],
        "summary": summary_object(plan),
        "requests": asdict(plan.requests),
        "estimate": asdict(plan.estimate),
        "findings": [finding_object(found) for found in plan.findings],
    }


def change_object(change: Change) -> dict[str, Any]:
    """Give one change: address, action, reason, both sides, member counts."""
    return {
        "address": change.address,
        "action": str(change.action),
        "reason": change.reason,
        "before": _attributes(change.before),
        "after": _attributes(change.after),
        "members": asdict(change.members),
    }


def summary_object(plan: Plan) -> dict[str, int]:
    """Count the changes by action, and the memberships gained and lost."""
    actions = (a for a in Action if a is not Action.NO_OP)
    counts = {str(action): plan.count(action) for action in actions}
    return {
        **counts,
        "members_add": plan.members_add,
        "members_remove": plan.members_remove,
    }


def finding_object(found: Finding) -> dict[str, Any]:
    """Give one finding; ``address`` is null where it is about the whole plan.

    ``figures`` are null where it counts nothing.
    """
    return {
        "severity": str(found.severity),
        "code": found.code,
        "address": found.address,
        "summary": found.summary,
        "detail": found.detail,
        "figures": found.figures and asdict(found.figures),
    }


def diagnostic_object(found: Diagnostic) -> dict[str, Any]:
    """Give a problem in the user's files; ``range`` is null where it has no place."""
    where = found.location
    place = where and {
        "filename": where.file,
        "start": {"line": where.line, "column": where.column},
    }
    return {
        "severity": str(found.severity),
        "code": found.code,
        "summary": found.summary,
        "detail": found.detail,
        "range": place,
    }


def error_code(raised: SegctlError) -> str:
    """Give the stable kebab-case name of an error: ``state-locked`` for ``StateLocked``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(raised).__name__).lower()


def _attributes(attributes: Attributes | None) -> dict[str, Any] | None:
    if attributes is None:
        return None
    return {
        "display_name": attributes.display_name,
        "customer_segment_id": attributes.customer_segment_id,
        "labels": dict(attributes.labels),
        "managed": attributes.managed,
        "guards": asdict(attributes.guards),
        "lifecycle": asdict(attributes.lifecycle),
    }
