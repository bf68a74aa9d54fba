"""The page of the settings: grouped, with their defaults, each with the values in force."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.parameters import visible_accounts, visible_settings
from segctl.emulator.hosts import REGIONS
from segctl.emulator.pages.rendering import chosen_account, render
from segctl.emulator.settings import LIMITS, QUESTIONS, SWITCHES, Settings

GROUPS: Mapping[str, Sequence[str]] = {
    "Creating segments": (
        "create_",
        "duplicate_",
        "max_(create|segments)",
        "missing_customer",
        "reuse_",
        "segment_cap",
    ),
    "Updating segments": (
        "both_ids",
        "code_100",
        "conflict_",
        "empty_entry",
        "limit_",
        "linked|links?_",
        "max_(entries|lines|users)",
        "noop_",
        "numeric_",
        "other_category",
        "profile_updates",
        "remove_unknown",
    ),
    "Campaigns and webhooks": ("journey_", "webhook_"),
    "Requests in flight": (".*_in_flight", "rate_limit"),
    "Accounts": ("account_", "api_segments", "feature", "unknown_accounts"),
    "Time": ("latency", "time_zone", "visibility"),
    "Reading events, profiles and exports": (
        "count",
        "data_points",
        ".*cursor",
        "empty_records",
        "event_",
        "export_",
        "filter_",
        "profile_",
        "request_id",
        "search_",
        "small_batch",
        "top_",
        "trend_",
        "unknown_event",
    ),
}
"""The groups of settings by the starts of their names. The first match counts."""

ACCOUNT_CHOICES: Mapping[str, tuple[Sequence[str | int], str]] = {
    "account_regions": (REGIONS, "any region"),
    "account_api_segments": (SWITCHES.get("api_segments", ()), "as for all"),
}
"""The settings by account: their choices, and what an account without a choice has."""

OTHERS = "Sizes and other limits"


@dataclass(frozen=True, kw_only=True)
class SettingField:
    """One setting as a form shows it."""

    name: str
    question: str
    value: Any
    default: Any
    kind: str
    """``switch``, ``number``, ``accounts``, ``list`` or ``text``."""

    @property
    def is_changed(self) -> bool:
        """Whether the value in force is not the default."""
        return bool(self.value != self.default)


def kind_of(name: str, default: Any) -> str:
    """Return the kind of form field for a setting."""
    if name in SWITCHES:
        return "switch"
    if name in LIMITS:
        return "number"
    if isinstance(default, Mapping):
        return "accounts"
    return "list" if isinstance(default, list | tuple) else "text"


def group_of(name: str) -> str:
    """Return the label of a setting's group."""
    return next(
        (label for label, names in GROUPS.items() if re.match("|".join(names), name)), OTHERS
    )


def grouped_fields(settings: Settings) -> dict[str, list[SettingField]]:
    """Return the fields of all settings by group, in the order of ``GROUPS``."""
    values, defaults = settings.document(), Settings().document()
    groups: dict[str, list[SettingField]] = {label: [] for label in (*GROUPS, OTHERS)}
    for name, question in QUESTIONS.items():
        groups[group_of(name)].append(
            SettingField(
                name=name,
                question=question,
                value=values[name],
                default=defaults[name],
                kind=kind_of(name, defaults[name]),
            )
        )
    return {label: fields for label, fields in groups.items() if fields}


async def show_settings(request: Request) -> Response:
    """Show all settings."""
    groups = grouped_fields(visible_settings(request))
    return render(
        "settings.html",
        request,
        account=chosen_account(request),
        topics="settings",
        groups=groups,
        changed=sum(field.is_changed for fields in groups.values() for field in fields),
        switches=SWITCHES,
        limits=LIMITS,
        account_choices=ACCOUNT_CHOICES,
        known_accounts=visible_accounts(request),
    )


def routes() -> Iterator[Route]:
    """Yield the route of the page."""
    yield Route("/settings", show_settings)
