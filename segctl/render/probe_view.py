"""A probe in words: what it will cost, what it asks, what it learned, what it left."""

import json

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
from segctl.render.phrases import counted
from segctl.render.style import PLAIN, Style, escaped

REPORT = "report.md"
SETTINGS = "emulator-settings.json"
CLIENT = "segctl-provider.yaml"


def announcement(*, host: str, account: str, stem: str, style: Style = PLAIN) -> str:
    """Say beforehand what a probe does and what it uses up."""
    lines = [
        style.bold(f"This probes the account {escaped(account)} at {escaped(host)}."),
        "",
        "It learns by doing, in a live account, what no page of the vendor says:",
        "",
        f"- It creates {LIKELY.segments} segments, and up to {MOST.segments} where the service",
        "  accepts what its pages say it refuses. They count towards the account's 2,500, and no",
        "  API deletes them: that is done by hand in the dashboard.",
        f"- It makes up to {MOST.profiles} junk profiles. Their identities begin with",
        f"  {escaped(stem)}-identity; one may be a long number, one a guid.",
        f"- It raises up to {MOST.events} billable events, each of perhaps five data points. A",
        "  campaign on every Segment Membership Change finds profiles without e-mail address,",
        "  phone and device; a webhook would be called.",
        f"- It leaves up to {MOST.errors} entries in the Error Stream.",
        "- It sends 4, 8 and 12 requests at once, so another pipeline of the same account may",
        "  meet a 429.",
        "",
        "It reads Segment Membership Change events, and keeps those of its own segments only. It",
        "removes the members that it added; Ctrl-C ends it, and it removes them then too.",
    ]
    return "\n".join(lines) + "\n"


def question(write: Write) -> str:
    """Say what one write is and what it may use up."""
    cost = ", ".join(_parts(write.cost))
    return f"{escaped(write.purpose)}{f' (at most {cost})' if cost else ''}"


def _parts(cost: Cost) -> list[str]:
    named = (
        (cost.segments, "segment"),
        (cost.profiles, "profile"),
        (cost.events, "event"),
    )
    parts = [counted(number, name) for number, name in named if number]
    if cost.errors:
        entry = "entry" if cost.errors == 1 else "entries"
        parts.append(f"{cost.errors} Error Stream {entry}")
    return parts


def summary(report: ProbeReport, *, style: Style = PLAIN) -> str:
    """Give each question with its answer, and what is left to do."""
    lines = []
    for each in report.findings:
        seen = each.certainty is Certainty.OBSERVED
        answer = escaped(each.answer)
        shown = style.green(answer) if seen else style.dim(f"cannot tell: {answer}")
        lines += [escaped(each.question), f"  {shown}"]
    if report.obstacle():
        lines += ["", style.yellow(report.obstacle())]
    return "\n".join([*lines, "", *leftovers(report)]) + "\n"


def leftovers(report: ProbeReport) -> list[str]:
    """Say what the probe left in the account, and what to do about it."""
    lines = []
    if report.shells:
        lines.append("Delete these segments in the dashboard, under Segments:")
        for shell in report.shells:
            names = [f"name {escaped(shell.name)}"]
            if shell.customer_id:
                names.append(f"customer id {escaped(shell.customer_id)}")
            if shell.ct_id is not None:
                names.append(f"id {shell.ct_id}")
            doubt = "" if shell.sure else " (it may not be there: the answer was unclear)"
            lines.append(f"- {', '.join(names)}{doubt}")
    else:
        lines.append("No segment was made.")
    if report.left_behind:
        lines.append("These members may still be in them; they go with the segments:")
        lines += [f"- {escaped(each)}" for each in report.left_behind]
    elif report.shells:
        lines.append("Removing their members was accepted; the dashboard shows if they are empty.")
    return lines


def settings(report: ProbeReport) -> str:
    """Give the emulator's settings, for ``segctl emulator --settings``."""
    return json.dumps(report.emulator_settings(), indent=2, sort_keys=True) + "\n"


def client(report: ProbeReport) -> str:
    """Give the part of ``segctl.yaml`` that was determined."""
    found = report.client_settings()
    if not found:
        return "# Nothing was learned that belongs into segctl.yaml.\n"
    lines = [f"    {name}: {value}" for name, value in found.items()]
    return "\n".join(["# For segctl.yaml; merge it.", "spec:", "  provider:", *lines]) + "\n"


def report(report: ProbeReport) -> str:
    """Give everything in Markdown: answers, then every request with its answer."""
    lines = ["# What the probe learned", "", f"Service: `{escaped(report.host)}`", ""]
    if report.interrupted:
        lines += ["It was interrupted.", ""]
    if report.problem:
        lines += [f"It ended early: {_cell(report.problem)}", ""]
    if report.obstacle():
        lines += [report.obstacle(), ""]
    lines += [
        "| question | | answer | emulator's setting | evidence |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [_row(each) for each in report.findings]
    lines += ["", "## What is left", "", *leftovers(report), "", "## For segctl.yaml", ""]
    lines += ["```yaml", client(report).rstrip(), "```", "", "## Evidence", ""]
    lines.append("Credentials are hidden, identities shown by their last part, long bodies cut.")
    for exchange in report.exchanges:
        lines += ["", *_exchange(exchange)]
    return "\n".join(lines) + "\n"


def _row(finding: ProbeFinding) -> str:
    chosen = ", ".join(f"`{name}: {value}`" for name, value in finding.settings.items())
    evidence = ", ".join(map(str, finding.evidence))
    cells = (finding.question, finding.certainty.value, _cell(finding.answer), chosen, evidence)
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
    # Indented, not fenced: a body could hold a fence.
    return [f"    {line}" for line in lines if line]
