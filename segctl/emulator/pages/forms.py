"""The pages that change: settings and faults."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from segctl.emulator.control import PREFIX
from segctl.emulator.faults import FAULTS, Rule
from segctl.emulator.pages.html import Html, el
from segctl.emulator.pages.layout import heading, number, page, table
from segctl.emulator.service import Service
from segctl.emulator.settings import LIMIT, SWITCH, Settings

DEFAULTS = {each.name: each.default for each in fields(Rule)}

PRESETS: Mapping[str, list[dict[str, Any]]] = {
    "No faults": [],
    "Bad network": [
        {"fault": "latency", "ms": 150, "jitter_ms": 300},
        {"fault": "cut_before", "share": 0.03},
        {"fault": "cut_after", "share": 0.03},
    ],
    "Busy service": [
        {"fault": "too_many_requests", "share": 0.25},
        {"fault": "server_error", "share": 0.05, "status": 503},
    ],
    "Untrustworthy answers": [
        {"fault": "empty_body", "share": 0.05},
        {"fault": "wrong_body", "share": 0.05},
        {"fault": "server_error", "share": 0.05, "committed": True},
    ],
    "Picky about entries": [{"fault": "refuse_entries", "share": 0.02}],
}


def settings_page(service: Service) -> str:
    """Return the page of switches and limits."""
    current = service.settings.document()
    groups = {SWITCH: "Open questions", LIMIT: "Limits and time"}
    return page(
        heading(
            "Settings",
            el(
                "button",
                "Back to defaults",
                data_call=f"DELETE {PREFIX}/settings",
                data_ask="Set every switch and limit to its default?",
            ),
            el(
                "button",
                "Empty everything",
                class_="danger",
                data_call=f"POST {PREFIX}/reset",
                data_ask="Remove all segments, profiles, events and errors?",
            ),
            lead="What the vendor's pages leave open is a switch here. A changed one is marked.",
        ),
        el(
            "form",
            [
                el(
                    "fieldset",
                    el("legend", label),
                    [
                        _field(each.name, current[each.name], each.metadata, each.default)
                        for each in fields(Settings)
                        if each.metadata["kind"] == kind
                    ],
                )
                for kind, label in groups.items()
            ],
            el(
                "div",
                el("button", "Save", class_="primary"),
                el("span", "", role="status", class_="saved"),
                class_="save",
            ),
            data_put=f"{PREFIX}/settings",
        ),
        title="Settings",
        here="/settings",
    )


def _field(name: str, value: Any, metadata: Mapping[str, Any], default: Any) -> Html:
    if metadata["kind"] == SWITCH:
        control = el(
            "select",
            [
                el("option", each, value=json.dumps(each), selected=each == value)
                for each in metadata["choices"]
            ],
            name=name,
            id=name,
        )
    else:
        least, most = metadata["range"]
        step = "any" if name.endswith("_ms") else "1"
        control = el(
            "input",
            type="number",
            name=name,
            id=name,
            value=value,
            min=least,
            max=most,
            step=step,
            required=True,
        )
    return el(
        "div",
        el("label", metadata["question"], el("code", name), for_=name),
        control,
        class_="field changed" if value != default else "field",
    )


def faults_page(service: Service) -> str:
    """Return the page of the fault plan."""
    plan = service.faults.plan
    shown = {
        "seed": plan.seed,
        "rules": [
            {name: value for name, value in rule.items() if value != DEFAULTS[name]}
            for rule in plan.document()["rules"]
        ],
    }
    rows = [
        el(
            "tr",
            el("th", el("code", name), scope="row"),
            el("td", meaning),
            el("td", number(service.faults.injected[name]), class_="num"),
        )
        for name, meaning in FAULTS.items()
    ]
    presets = [
        el(
            "button",
            label,
            type="button",
            data_preset=json.dumps({"seed": plan.seed, "rules": rules}, indent=2),
        )
        for label, rules in PRESETS.items()
    ]
    return page(
        heading("Faults", lead="What goes wrong on the way, by rules, repeatable by the seed."),
        el(
            "form",
            el("div", presets, class_="row", role="group", aria_label="Examples"),
            el("label", "Plan, as JSON", for_="plan"),
            el("textarea", json.dumps(shown, indent=2), id="plan", rows=14, spellcheck="false"),
            el(
                "div",
                el("button", "Save", class_="primary"),
                el("span", "", role="status", class_="saved"),
                class_="save",
            ),
            data_put=f"{PREFIX}/faults",
        ),
        table(("Fault", "What happens", "So far"), rows, caption="Faults", numeric=("So far",)),
        el(
            "p",
            "A rule names a fault, a call (createSegment, updateSegment, getEvents, getProfile, "
            "upload or *), the share of requests it strikes, and, if wanted, how many requests to "
            "skip first and how many times to strike.",
        ),
        title="Faults",
        here="/faults",
    )
