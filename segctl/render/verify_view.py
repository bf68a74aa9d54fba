"""The checks of ``segctl verify``, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict

from segctl.core.health import Check, has_problem
from segctl.plan.model import Plan
from segctl.render import doctor_view, json_document
from segctl.render import json_schema as js
from segctl.render import schema_parts as parts
from segctl.render.json_schema import Schema
from segctl.render.style import Style


def render_text(plan: Plan, checks: Sequence[Check], *, style: Style) -> str:
    """Return the digest of the plan, one line for each check, and a line with the sum."""
    return f"Plan {plan.digest}\n\n{doctor_view.render_checks(checks, style=style)}"


def render_json(plan: Plan, checks: Sequence[Check]) -> str:
    """Return the JSON document of the checks."""
    return json_document.facts(
        digest=plan.digest,
        verified=not has_problem(checks),
        requests=asdict(plan.requests),
        certificates=[asdict(certificate) for certificate in plan.certificates],
        checks=[asdict(check) for check in checks],
    )


def verify_schema() -> Schema:
    """Return the schema of ``segctl verify --json``."""
    fields = {
        "format_version": parts.FORMAT_VERSION,
        "digest": parts.DIGEST,
        "verified": js.flag("Whether no check found a problem. The exit code is then 0."),
        "requests": parts.requests(),
        "certificates": parts.certificates(),
        "checks": js.array("The checks.", js.reference("Check")),
    }
    return js.document(
        "verify",
        "segctl verify",
        f"The document of `segctl verify --json`. It has no user keys. {parts.IGNORE_ADDED}",
        js.record("", fields),
        {"Certificate": parts.certificate(), "Check": doctor_view.check_schema()},
    )
