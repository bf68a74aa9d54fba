"""A probe as text and Markdown: its cost, its answers, and what it leaves in the account."""

import json
from dataclasses import asdict
from typing import Any

from segctl.probing.report import (
    LIKELY,
    MOST,
    Certainty,
    Cost,
    Exchange,
    ProbeFinding,
    ProbeReport,
    Write,
)
from segctl.render.phrases import format_count
from segctl.render.style import PLAIN, Style, escaped

REPORT_FILE = "report.md"
SETTINGS_FILE = "emulator-settings.json"
CLIENT_FILE = "segctl-provider.yaml"


def render_announcement(*, host: str, account: str, stem: str, style: Style = PLAIN) -> str:
    """Return what a probe will do and what it may use up."""
    lines = [
        style.bold(f"This probes the account {escaped(account)} at {escaped(host)}."),
        "",
        "It sends requests to a live account to answer what the vendor's pages leave open:",
        "",
        f"- It creates {LIKELY.segments} segments, or up to {MOST.segments} if the service accepts",
        "  what its pages say it refuses. They count towards the account's 2,500, and no API",
        "  deletes them: you delete them in the dashboard.",
        f"- It creates up to {MOST.profiles} junk profiles. Their identities begin with",
        f"  {escaped(stem)}-identity; one may be a long number, one a guid.",
        f"- It raises up to {MOST.events} billable events of perhaps five data points each. A",
        "  campaign on every Segment Membership Change would reach these profiles, which have no",
        "  e-mail address, phone or device; a webhook would be called.",
        f"- It leaves up to {MOST.errors} entries in the Error Stream.",
        "- It sends 4, 8 and 12 requests at once, so another pipeline of the same account may",
        "  get a 429.",
        "",
        "It reads Segment Membership Change events and keeps only those of its own segments. It",
        "removes the members that it added. Ctrl-C ends the probe, and it still removes them.",
    ]
    return "\n".join(lines) + "\n"


def render_question(write: Write) -> str:
    """Return what one write does and what it may use up."""
    cost = ", ".join(_cost_parts(write.cost))
    return f"{escaped(write.purpose)}{f' (at most {cost})' if cost else ''}"


def _cost_parts(cost: Cost) -> list[str]:
    named = (
        (cost.segments, "segment"),
        (cost.profiles, "profile"),
        (cost.events, "event"),
    )
    parts = [format_count(number, name) for number, name in named if number]
    if cost.errors:
        entry = "entry" if cost.errors == 1 else "entries"
        parts.append(f"{cost.errors} Error Stream {entry}")
    return parts


def render_summary(report: ProbeReport, *, style: Style = PLAIN) -> str:
    """Return each question with its answer, and what is left to do."""
    lines = []
    for finding in report.findings:
        answer = escaped(finding.answer)
        is_observed = finding.certainty is Certainty.OBSERVED
        shown = style.green(answer) if is_observed else style.dim(f"cannot tell: {answer}")
        lines += [escaped(finding.question), f"  {shown}"]
    if report.obstacle():
        lines += ["", style.yellow(report.obstacle())]
    return "\n".join([*lines, "", *_leftover_lines(report)]) + "\n"


def _leftover_lines(report: ProbeReport) -> list[str]:
    """Return what the probe left in the account, and what to do about it."""
    lines = []
    if report.shells:
        lines.append("Delete these segments in the dashboard, under Segments:")
        for shell in report.shells:
            names = [f"name {escaped(shell.name)}"]
            if shell.customer_id:
                names.append(f"customer id {escaped(shell.customer_id)}")
            if shell.ct_id is not None:
                names.append(f"id {shell.ct_id}")
            doubt = "" if shell.sure else " (it may not exist: the answer was unclear)"
            lines.append(f"- {', '.join(names)}{doubt}")
    else:
        lines.append("No segment was created.")
    if report.left_behind:
        lines.append("These members may still be in them. Deleting the segments removes them too:")
        lines += [f"- {escaped(member)}" for member in report.left_behind]
    elif report.shells:
        lines.append(
            "Removing their members was accepted. Check in the dashboard that they are empty."
        )
    return lines


def report_object(report: ProbeReport) -> dict[str, Any]:
    """Return the answers, and what is left in the account, as JSON values."""
    return {
        "host": report.host,
        "interrupted": report.interrupted,
        "problem": report.problem or None,
        "obstacle": report.obstacle() or None,
        "findings": [
            {"question": each.question, **asdict(each), "certainty": each.certainty.value}
            for each in report.findings
        ],
        "emulator_settings": report.emulator_settings(),
        "provider_settings": report.client_settings(),
        "segments": [asdict(shell) for shell in report.shells],
        "members_left": len(report.left_behind),
    }


def render_emulator_settings(report: ProbeReport) -> str:
    """Return the file for ``segctl emulator --settings``."""
    return json.dumps(report.emulator_settings(), indent=2, sort_keys=True) + "\n"


def render_client_settings(report: ProbeReport) -> str:
    """Return the part of ``segctl.yaml`` that the probe determined."""
    settings = report.client_settings()
    if not settings:
        return "# The probe learned nothing that belongs in segctl.yaml.\n"
    lines = [f"    {name}: {value}" for name, value in settings.items()]
    return "\n".join(["# Merge this into segctl.yaml.", "spec:", "  provider:", *lines]) + "\n"


def render_report(report: ProbeReport) -> str:
    """Return the full report in Markdown: the answers, then every request with its reply."""
    lines = ["# What the probe learned", "", f"Service: `{escaped(report.host)}`", ""]
    if report.interrupted:
        lines += ["The probe was interrupted.", ""]
    if report.problem:
        lines += [f"The probe ended early: {_cell(report.problem)}", ""]
    if report.obstacle():
        lines += [report.obstacle(), ""]
    lines += [
        "| question | | answer | emulator's setting | evidence |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [_row(finding) for finding in report.findings]
    lines += ["", "## What is left in the account", "", *_leftover_lines(report), ""]
    settings = render_client_settings(report).rstrip()
    lines += ["## For segctl.yaml", "", "```yaml", settings, "```", "", "## Evidence", ""]
    lines.append(
        "Credentials are hidden, identities are shortened to their last part, long bodies are cut."
    )
    for exchange in report.exchanges:
        lines += ["", *_exchange(exchange)]
    return "\n".join(lines) + "\n"


def _row(finding: ProbeFinding) -> str:
    settings = ", ".join(f"`{name}: {value}`" for name, value in finding.settings.items())
    evidence = ", ".join(map(str, finding.evidence))
    cells = (finding.question, finding.certainty.value, _cell(finding.answer), settings, evidence)
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return escaped(text).replace("|", "\\|").replace("<", "&lt;")


def _exchange(exchange: Exchange) -> list[str]:
    headers = [f"{name}: {escaped(value)}" for name, value in exchange.headers.items()]
    return [
        f"### {exchange.number}. {escaped(exchange.purpose)}",
        "",
        *_code([exchange.request, escaped(exchange.body)]),
        "",
        *_code([escaped(exchange.status), *headers, escaped(exchange.reply)]),
    ]


def _code(lines: list[str]) -> list[str]:
    # Indented, not fenced: a body could contain a fence.
    return [f"    {line}" for line in lines if line]
