"""The JSON Schemas of the documents that segctl writes: plan, apply stream, state head, and more.

``segctl schema NAME`` prints them, and ``schemas/`` has copies that a test compares. What may
change when is in ``docs/formats.md``.
"""

import json
from collections.abc import Callable, Mapping

from segctl.core.events import ApplyEnded, ApplyStarted, RateLimited, Recovered, Settling
from segctl.core.outcomes import Outcome
from segctl.plan.model import Action, Estimate, Flow
from segctl.render import json_schema as js
from segctl.render import schema_parts as parts
from segctl.render.apply_report import OUTCOMES
from segctl.render.doctor_view import doctor_schema
from segctl.render.json_schema import Schema
from segctl.render.state_schema import state_schema
from segctl.render.verify_view import verify_schema


def plan_schema() -> Schema:
    """Return the schema of ``plan --format json``."""
    finding = {**parts.finding_fields(), **parts.finding_places()}
    fields = {
        "format_version": parts.FORMAT_VERSION,
        "segctl_version": parts.WRITER,
        "lineage": parts.LINEAGE,
        "serial": parts.SERIAL,
        "digest": parts.DIGEST,
        "made": js.reference("Made"),
        "targeted": js.array("The patterns of --target.", js.text("A pattern.")),
        "excluded": js.array("The patterns of --exclude.", js.text("A pattern.")),
        "held": parts.held(),
        "changes": js.array("Every segment, also those without changes.", js.reference("Change")),
        "summary": js.reference("Summary"),
        "requests": parts.requests(),
        "certificates": parts.certificates(),
        "estimate": js.dataclass_record(
            Estimate,
            "What the plan costs.",
            {
                "seconds": "How long sending takes, in seconds.",
                "billable_events": "Segment Membership Change events that CleverTap bills.",
            },
        ),
        "findings": js.array("What a reviewer should see.", js.record("A finding.", finding)),
        "flows": js.nullable(
            js.array("Moves between segments; null if not counted.", js.reference("Flow"))
        ),
        "limits": parts.limits(),
    }
    definitions = {
        "Made": parts.made(),
        "Summary": parts.summary(),
        **parts.change_definitions(),
        "Certificate": parts.certificate(),
        "Figures": parts.figures(),
        "Flow": js.dataclass_record(
            Flow,
            "Users who leave one segment and join another.",
            {
                "leaves": "The address of the segment they leave.",
                "joins": "The address of the segment they join.",
                "users": "The number of users.",
            },
        ),
    }
    return js.document(
        "plan",
        "segctl plan",
        "The document of `segctl plan --format json` and `segctl show FILE --format json`. It has "
        f"no user keys. {parts.IGNORE_ADDED}",
        js.record("", fields),
        definitions,
    )


def _stream_types() -> dict[str, Schema]:
    outcome = js.choice(
        "What became of the request.", *(str(o) for o in Outcome if o is not Outcome.NOT_TRIED)
    )
    addresses = js.array("The addresses of the segments.", {"type": "string"})
    detail = js.text("What the service said, shortened; may be empty.")
    batch = {
        "outcome": outcome,
        "call": js.choice("Which API was called.", "createSegment", "updateSegment"),
        "detail": detail,
        "addresses": addresses,
        "request": js.count("The number of the update request, from 0."),
        "changes": js.count("The membership changes in it."),
        "attempts": js.count("How often it was sent."),
        "parts": js.count("Requests in which it was sent again after it was refused as a whole."),
        "throttled": js.count("How often the answer was 429."),
    }
    batch_line = js.record(
        "A request ended. createSegment has addresses; updateSegment has the numbers.",
        batch,
        optional=("addresses", "request", "changes", "attempts", "parts", "throttled"),
    )
    ended = js.dataclass_fields(
        ApplyEnded,
        {
            "acknowledged": "Update requests that the service accepted.",
            "refused": "Update requests whose content it refused.",
            "failed": "Update requests that had no effect for another reason.",
            "uncertain": "Update requests without a trustworthy answer.",
            "not_tried": "Update requests that were not sent.",
            "changes": "Acknowledged membership changes.",
            "seconds": "How long sending took, in seconds.",
            "quarantined": "Membership changes refused one by one.",
            "not_created": "Segments that were not created.",
            "parts": "Requests, of either call, sent because another was refused as a whole.",
            "interrupted": "Whether the user interrupted the apply.",
        },
    )
    progress = {
        "changes": js.count("Membership changes that have an outcome."),
        "of_changes": js.count("Membership changes to send."),
        "requests": js.count("Update requests with an outcome, and the parts of refused ones."),
        "of_requests": js.count("Update requests to send, and the parts of refused ones."),
    }
    return {
        "version": js.record(
            "The first line.",
            {
                "segctl": js.text("The version of segctl."),
                "ui": js.text("The version of the stream: major.minor.", pattern=r"^1\.[0-9]+$"),
            },
        ),
        "planned_change": js.record(
            "A change that will be applied.", {"change": js.reference("Change")}
        ),
        "change_summary": js.record(
            "The plan as a whole.",
            {
                "changes": js.reference("Summary"),
                "digest": parts.DIGEST,
                "members_to_send": js.count("Membership changes to send."),
                "made": js.reference("Made"),
                "held": parts.held(),
            },
        ),
        "diagnostic": js.record(
            "A finding, or the error that ended the run.",
            {"diagnostic": js.reference("Diagnostic")},
        ),
        "approval_checked": js.record(
            "Today's plan was compared with the approved one.",
            {"approval": js.reference("Approval")},
        ),
        "apply_start": js.dataclass_record(
            ApplyStarted,
            "The first request is sent next.",
            {
                "creates": "Segments to create.",
                "requests": "Update requests to send.",
                "changes": "Membership changes to send.",
            },
        ),
        "apply_progress": js.record("How far the apply is, every ten seconds.", progress),
        "batch_complete": batch_line,
        "batch_errored": batch_line,
        "rate_limited": js.dataclass_record(
            RateLimited,
            "The service answered 429.",
            {"call": "Which API was called.", "seconds": "The pause, in seconds."},
        ),
        "settling": js.dataclass_record(
            Settling,
            "The apply waits before it reverses unanswered changes.",
            {"seconds": "How long, in seconds."},
        ),
        "recovered": js.dataclass_record(
            Recovered,
            "An interrupted apply was merged into the state.",
            {
                "acknowledged": "Its acknowledged requests.",
                "uncertain": "Its requests without an answer.",
            },
        ),
        "apply_complete": js.record(
            "Everything was applied. Without numbers if nothing had to be sent.",
            ended,
            optional=tuple(ended),
        ),
        "apply_errored": js.record("Something is left.", ended),
    }


STREAM_TYPES = tuple(_stream_types())
"""The types of the lines of ``apply --json``."""


def apply_schema() -> Schema:
    """Return the schema of one line of ``apply --json``."""
    types = _stream_types()
    line = js.record(
        "",
        {
            "@level": js.choice("How serious the line is.", "info", "warn", "error"),
            "@message": js.text("The line for people. Its wording may change."),
            "@timestamp": js.text("When, in UTC (ISO 8601).", pattern=parts.TIME_PATTERN),
            "type": js.text("What the line is: one of the definitions. Others may be added."),
        },
    )
    line["allOf"] = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": js.reference(name),
        }
        for name in types
    ]
    definitions = {
        **types,
        **parts.approval_definitions(),
        **parts.change_definitions(),
        "Made": parts.made(),
        "Summary": parts.summary(),
        "Diagnostic": parts.diagnostic(),
        "Figures": parts.figures(),
    }
    return js.document(
        "apply",
        "segctl apply stream",
        "One line of `segctl apply --json` and `segctl destroy --json`: each line is one JSON "
        "object. It has no user keys. A minor version of ui (first line) may add types of lines, "
        "and fields to any object; a reader ignores those that it does not know.",
        line,
        definitions,
    )


def validate_schema() -> Schema:
    """Return the schema of ``validate --json``."""
    fields = {
        "format_version": parts.FORMAT_VERSION,
        "valid": js.flag("Whether there is no error. Warnings do not count."),
        "error_count": js.count("The number of errors."),
        "warning_count": js.count("The number of warnings."),
        "diagnostics": js.array("Every problem.", js.reference("Diagnostic")),
        "passed_over": js.array(
            "YAML documents that are not segctl's, as file:line.", {"type": "string"}
        ),
        "ignored": js.array(
            "Files and folders that spec.ignore hides.",
            js.record(
                "",
                {
                    "path": js.text("The path from the workspace root. A folder ends in /."),
                    "pattern": js.text("The pattern that hides it."),
                },
            ),
        ),
    }
    return js.document(
        "validate",
        "segctl validate",
        f"The document of `segctl validate --json`. It has no user keys. {parts.IGNORE_ADDED}",
        js.record("", fields),
        {"Diagnostic": parts.diagnostic(), "Figures": parts.figures()},
    )


def error_schema() -> Schema:
    """Return the schema of what a command with ``--json`` prints if it fails."""
    fields = {
        "format_version": parts.FORMAT_VERSION,
        "exit_code": {
            "type": "integer",
            "minimum": 1,
            "description": "The exit code of the command.",
        },
        "diagnostics": js.array("What went wrong.", js.reference("Diagnostic")),
    }
    return js.document(
        "error",
        "segctl error",
        "What a command with --json prints in place of its document if it fails. It has no user "
        f"keys. {parts.IGNORE_ADDED}",
        js.record("", fields),
        {"Diagnostic": parts.diagnostic(), "Figures": parts.figures()},
    )


def _by_outcome(unit: str) -> dict[str, Schema]:
    return {
        "acknowledged": js.count(f"{unit} that the service accepted."),
        "refused": js.count(f"{unit} that it refused for their content; not sent again."),
        "failed": js.count(f"{unit} that had no effect for another reason."),
        "uncertain": js.count(f"{unit} without a trustworthy answer; sent again."),
        "not_tried": js.nullable(js.count(f"{unit} that were not sent; null if not known.")),
    }


def report_schema() -> Schema:
    """Return the schema of the document of ``apply --report``."""
    stamp = js.text("", pattern=parts.TIME_PATTERN)
    created = [str(outcome).replace(" ", "_") for outcome in Outcome]
    changes = {
        "planned": js.nullable(
            js.count("To send. Null for a segment if the rest of a plan was applied.")
        ),
        **_by_outcome("Membership changes"),
        "left": js.nullable(js.count("Neither acknowledged nor refused; null if not known.")),
    }
    segment = {
        "address": js.text(parts.ADDRESS),
        "action": js.choice("What the plan does with the segment.", *map(str, Action)),
        "created": js.nullable(
            js.choice("What became of creating it; null if the plan does not create it.", *created)
        ),
        "changes": js.reference("Changes"),
    }
    plan = {
        "digest": parts.DIGEST,
        "lineage": parts.LINEAGE,
        "serial": parts.SERIAL,
        "made": js.reference("Made"),
        "summary": js.reference("Summary"),
        "held": parts.held(),
    }
    requests = {
        "create": js.reference("Requests", "Requests that create segments."),
        "update": js.reference("Requests", "Requests that add and remove members."),
        "parts": js.count("Requests sent because another was refused as a whole."),
        "throttled": js.count("Answers with status 429."),
    }
    fields = {
        "format_version": parts.FORMAT_VERSION,
        "segctl_version": parts.WRITER,
        "command": js.choice("The command.", "apply", "destroy"),
        "outcome": js.choice(
            "How the run ended. running: it has not ended, or was killed; the next run records "
            "what it sent. refused: by a guard (6) or as stale (4). held: everything was applied "
            "but the segments that are held back (6). failed: nothing was acknowledged. "
            "incomplete: something was.",
            *OUTCOMES,
        ),
        "exit_code": js.nullable(js.count("The exit code of the run; null while it is running.")),
        "started_at": {**stamp, "description": "When the run began, in UTC (ISO 8601)."},
        "ended_at": js.nullable({**stamp, "description": "When it ended, in UTC (ISO 8601)."}),
        "seconds": js.nullable(js.number("How long the run took, in seconds.")),
        "sending_seconds": js.nullable(js.number("How long sending took, in seconds.")),
        "plan": js.nullable(js.record("The plan; null if the run ended before it had one.", plan)),
        "approval": js.nullable(
            js.reference("Approval", "How the plan compares with the approved one; null if none.")
        ),
        "requests": js.nullable(js.record("Requests by outcome.", requests)),
        "changes": js.nullable(js.reference("Changes", "Membership changes of all segments.")),
        "segments": js.array("Segments with changes.", js.record("One segment.", segment)),
        "diagnostics": js.array("Why the run failed.", js.reference("Diagnostic")),
    }
    definitions = {
        "Made": parts.made(),
        "Summary": parts.summary(),
        **parts.approval_definitions(),
        "Changes": js.record("Membership changes by outcome.", changes),
        "Requests": js.record(
            "Requests by outcome.",
            {
                **_by_outcome("Requests"),
                "refused": js.count("Requests of which it accepted no part; sent again."),
            },
        ),
        "Diagnostic": parts.diagnostic(),
        "Figures": parts.figures(),
    }
    return js.document(
        "report",
        "segctl apply report",
        "What --report FILE of `segctl apply` and `segctl destroy` writes. It has no user keys. "
        f"{parts.IGNORE_ADDED}",
        js.record("", fields),
        definitions,
    )


_SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "plan": plan_schema,
    "apply": apply_schema,
    "state": state_schema,
    "validate": validate_schema,
    "report": report_schema,
    "error": error_schema,
    "doctor": doctor_schema,
    "verify": verify_schema,
}

NAMES = tuple(_SCHEMAS)
"""The documents that have a schema here."""


def build_schema(name: str) -> Schema:
    """Return the schema of one of ``NAMES``."""
    return _SCHEMAS[name]()


def schema_text(name: str) -> str:
    """Return the text of the file ``NAME.schema.json``."""
    return json.dumps(build_schema(name), indent=2) + "\n"
