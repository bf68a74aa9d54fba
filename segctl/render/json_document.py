"""The plan as a JSON document for programs. It contains no identities.

``schemas/plan.schema.json`` describes it, and ``docs/formats.md`` says what may change when.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from segctl.core.codec import to_plain
from segctl.core.diagnostics import Diagnostic
from segctl.core.errors import GuardRefused, InvalidInput, SegctlError
from segctl.plan.model import Action, Attributes, Change, Finding, Plan

FORMAT_VERSION = "1.0"
"""The version of every JSON document. A minor version adds keys, which readers must ignore; a major
one breaks readers."""


def render(plan: Plan) -> str:
    """Return the document as indented ASCII text, ending in a line break."""
    return json.dumps(document(plan), indent=2) + "\n"


def document(plan: Plan) -> dict[str, Any]:
    """Return the document as dictionaries, lists and scalars."""
    return {
        "format_version": FORMAT_VERSION,
        "segctl_version": plan.segctl_version,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "digest": plan.digest,
        "made": made_object(plan),
        "targeted": list(plan.targeted),
        "excluded": list(plan.excluded),
        "held": held_objects(plan),
        "changes": [change_object(change) for change in plan.changes],
        "summary": summary_object(plan),
        "requests": asdict(plan.requests),
        "certificates": [asdict(certificate) for certificate in plan.certificates],
        "estimate": asdict(plan.estimate),
        "findings": [finding_object(found) for found in plan.findings],
        "flows": None if plan.flows is None else [asdict(flow) for flow in plan.flows],
        "limits": limits_object(plan),
    }


def held_objects(plan: Plan) -> list[dict[str, Any]]:
    """Return the segments that are held back, by reason."""
    return [asdict(held) for held in plan.held]


def limits_object(plan: Plan) -> dict[str, Any]:
    """Return the limits on the whole plan, the override, and what was sent in the month before."""
    return {
        "guards": {"max_destroys": plan.max_destroys, **asdict(plan.guards)},
        "allow": plan.allow and to_plain(plan.allow),
        "tolerance": asdict(plan.tolerance),
        "month": plan.month and to_plain(plan.month),
    }


def facts(**values: Any) -> str:
    """Return the JSON document of a command that prints facts: its keys after the version."""
    return json.dumps({"format_version": FORMAT_VERSION, **values}, indent=2) + "\n"


def made_object(plan: Plan) -> dict[str, Any]:
    """Return when and from what the plan was made."""
    return {
        "at": plan.made_at or None,
        "commit": plan.commit or None,
        "account": plan.account,
        "host": plan.host,
        "environment": plan.env_name or None,
        "variables": dict(plan.variables),
    }


def change_object(change: Change) -> dict[str, Any]:
    """Return one change: address, action, reason, attributes before and after, member counts.

    ``moved_from`` is null unless the segment is recorded at another address, ``imported`` unless a
    block imports it with this number of members.
    """
    return {
        "address": change.address,
        "action": str(change.action),
        "reason": change.reason,
        "before": _attributes(change.before),
        "after": _attributes(change.after),
        "members": asdict(change.members),
        "moved_from": change.moved_from,
        "imported": None if change.imported is None else change.imported.count,
    }


def summary_object(plan: Plan) -> dict[str, int]:
    """Return the number of changes by action, and of members added and removed."""
    actions = (a for a in Action if a is not Action.NO_OP)
    counts = {str(action): plan.count(action) for action in actions}
    return {
        **counts,
        "members_add": plan.members_add,
        "members_remove": plan.members_remove,
    }


def finding_object(finding: Finding) -> dict[str, Any]:
    """Return one finding.

    ``address`` is null if it is about the whole plan, ``figures`` if it counts nothing.
    """
    return {
        "severity": str(finding.severity),
        "code": finding.code,
        "address": finding.address,
        "summary": finding.summary,
        "detail": finding.detail,
        "figures": finding.figures and asdict(finding.figures),
    }


def diagnostic_object(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return one problem in the user's files; ``range`` is null if it has no location."""
    location = diagnostic.location
    return {
        "severity": str(diagnostic.severity),
        "code": diagnostic.code,
        "summary": diagnostic.summary,
        "detail": diagnostic.detail,
        "range": location
        and {
            "filename": location.file,
            "start": {"line": location.line, "column": location.column},
        },
    }


def error_objects(error: SegctlError) -> Iterator[dict[str, Any]]:
    """Yield the error that ended a run as diagnostics, after the findings of a refused plan."""
    if isinstance(error, InvalidInput):
        yield from map(diagnostic_object, error.diagnostics)
        return
    if isinstance(error, GuardRefused):
        yield from map(finding_object, error.findings)
    yield plain_error(error_code(error), error.message, error.hint)


def plain_error(code: str, summary: str, detail: str = "") -> dict[str, Any]:
    """Return an error that is about no file and no segment."""
    return {"severity": "error", "code": code, "summary": summary, "detail": detail}


def error_document(diagnostics: Iterable[Mapping[str, Any]], *, exit_code: int) -> str:
    """Return the JSON document of a command that failed."""
    return facts(exit_code=exit_code, diagnostics=list(diagnostics))


def error_code(error: SegctlError) -> str:
    """Return the stable kebab-case name of an error: ``state-locked`` for ``StateLocked``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()


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
        "allow": attributes.allow and to_plain(attributes.allow),
    }
