"""The pages that show: segments, one segment, events, the Error Stream."""

from itertools import islice
from typing import Any

from segctl.emulator.control import PREFIX, describe, describe_all
from segctl.emulator.error_stream import read_refusals
from segctl.emulator.events import Event, iso, last_events
from segctl.emulator.membership import ERROR_TYPES
from segctl.emulator.pages.html import Child, Html, el
from segctl.emulator.pages.layout import choice, empty, heading, number, page, table, tiles
from segctl.emulator.service import Service
from segctl.emulator.state import ADD, CHANNELS, Account, Segment

ROWS = 100
EVENT_COLUMNS = ("No.", "Time (UTC)", "Action", "Segment", "User")
ERROR_COLUMNS = ("Time", "Error Type", "Segment ID", "Customer Segment ID", "User Identity")
CHANNEL_NAMES = {"email": "E-mail", "sms": "SMS", "push": "Push"}


def overview(service: Service, account: Account | None) -> str:
    """Return the page of all segments."""
    segments = describe_all(service, account)
    stats = service.stats(account)
    several = len(service.store.accounts) > 1
    columns = ["Segment", "Customer ID", "CleverTap ID", "Members", "Reachable", "Created"]
    if several:
        columns.insert(1, "Account")
    rows = [_segment_row(each, several=several) for each in segments]
    shown: Child = (
        table(columns, rows, caption="Segments", numeric=("Members", "Reachable"), name="segments")
        if rows
        else empty("No segment yet. Create one: ", el("code", "POST /api/createSegment"), ".")
    )
    return page(
        heading("Segments", _accounts(service, account), _filter("Filter segments", "segments")),
        tiles(
            [
                ("segments", "segments", stats["segments"]),
                ("profiles", "profiles", stats["profiles"]),
                ("membership_changes", "membership changes", stats["membership_changes"]),
                ("events", "events", stats["events"]),
                ("data_points", "data points", stats["data_points"]),
                ("updates", "update requests", sum(stats["requests"]["updateSegment"].values())),
            ]
        ),
        shown,
        title="Segments",
        here="/",
        account=None if account is None else account.id,
    )


def _accounts(service: Service, account: Account | None) -> Child:
    names = sorted(service.store.accounts)
    if len(names) < 2:
        return None
    options = [("", "All accounts"), *[(name, name) for name in names]]
    chosen = "" if account is None else account.id
    return el("form", choice("account", "Account", options, chosen), data_submit="change")


def _filter(label: str, target: str) -> Html:
    return el("input", type="search", placeholder=label, aria_label=label, data_filter=target)


def _segment_row(segment: dict[str, Any], *, several: bool) -> Html:
    deleted = el("span", "deleted", class_="badge") if segment["deleted"] else None
    link = el("a", segment["segment_name"], href=f"/segments/{segment['ct_segment_id']}")
    return el(
        "tr",
        el("th", link, deleted, scope="row"),
        el("td", segment["account"]) if several else None,
        el("td", el("code", segment["customer_segment_id"] or "none")),
        el("td", el("code", segment["ct_segment_id"])),
        el("td", number(segment["members"]), class_="num", data_count="members"),
        el("td", number(segment["reachable"]["any"]), class_="num", data_count="reachable"),
        el("td", _time(segment["created_at"])),
        data_segment=segment["ct_segment_id"],
        class_="deleted" if segment["deleted"] else None,
    )


def _time(text: str) -> Html:
    return el("time", text[:19].replace("T", " "), datetime=text)


def segment_page(
    service: Service, account: Account, segment: Segment, *, start: int, query: str
) -> str:
    """Return one segment's page, with its members a page at a time."""
    figures = describe(service, account, segment)
    members, _ = service.store.seen(account, segment, until=service.visible_until())
    users = (account.profiles.user(each) for each in members)
    found = list(islice(_matching(users, query), start, start + ROWS + 1))
    rows = [
        el("tr", el("td", el("code", user.value)), el("td", user.kind)) for user in found[:ROWS]
    ]
    remove = (
        None
        if segment.deleted
        else el(
            "button",
            "Delete segment",
            class_="danger",
            data_call=f"DELETE {PREFIX}/segments/{segment.id}",
            data_ask=f"Delete {segment.name}, as the dashboard would? Updates to it will be "
            "refused from then on.",
        )
    )
    return page(
        el("p", el("a", "Segments", href="/"), " /", class_="crumbs"),
        heading(
            segment.name,
            el(
                "a",
                "Download members",
                class_="button",
                href=f"{PREFIX}/segments/{segment.id}/members",
                download=f"{segment.customer_id or segment.id}.jsonl",
            ),
            remove,
            lead=[
                el("span", "deleted ", class_="badge") if segment.deleted else None,
                "Customer ID ",
                el("code", segment.customer_id or "none"),
                ", CleverTap ID ",
                el("code", segment.id),
                f", account {account.id}, created ",
                _time(iso(segment.created_at)),
            ],
        ),
        el(
            "div",
            _reach(figures),
            data_segment=segment.id,
            class_="deleted" if segment.deleted else None,
        ),
        el(
            "form",
            el(
                "label",
                el("span", "Find a member"),
                el("input", type="search", name="q", value=query),
            ),
            el("button", "Find"),
            class_="row",
            method="get",
        ),
        table(["Member", "Known by"], rows, caption="Members")
        if rows
        else empty("No member here."),
        _pager(start, more=len(found) > ROWS, query=query),
        title=segment.name,
        here="",
        account=account.id,
    )


def _matching(users: Any, query: str) -> Any:
    return (user for user in users if query in user.value) if query else users


def _reach(figures: dict[str, Any]) -> Html:
    most = figures["members"] or 1
    bars = [
        el(
            "div",
            el("dt", CHANNEL_NAMES[channel]),
            el(
                "dd",
                el(
                    "meter",
                    min=0,
                    max=most,
                    value=figures["reachable"][channel],
                    aria_label=f"Reachable by {CHANNEL_NAMES[channel]}",
                    data_meter=channel,
                ),
                el("span", number(figures["reachable"][channel]), data_count=channel),
            ),
            class_="tile",
        )
        for channel in CHANNELS
    ]
    return el(
        "dl",
        el(
            "div",
            el("dt", "members"),
            el("dd", number(figures["members"]), data_count="members"),
            class_="tile",
        ),
        el(
            "div",
            el("dt", "reachable"),
            el("dd", number(figures["reachable"]["any"]), data_count="reachable"),
            class_="tile",
        ),
        bars,
        class_="tiles",
    )


def _pager(start: int, *, more: bool, query: str) -> Child:
    if not start and not more:
        return None

    def link(label: str, to: int) -> Html:
        return el(
            "form",
            el("input", type="hidden", name="start", value=to),
            el("input", type="hidden", name="q", value=query) if query else None,
            el("button", label),
            method="get",
        )

    return el(
        "nav",
        link("Previous", max(0, start - ROWS)) if start else None,
        el("span", f"from {number(start + 1)}"),
        link("Next", start + ROWS) if more else None,
        class_="pager",
        aria_label="Pages",
    )


def event_row(event: Event) -> Html:
    """Return one event as a row."""
    return el(
        "tr",
        el("td", number(event.seq), class_="num"),
        el("td", _time(iso(event.ts))),
        el("td", el("span", event.action, class_="add" if event.action == ADD else "remove")),
        el("td", el("a", event.segment.name, href=f"/segments/{event.segment.id}")),
        el("td", el("code", event.user.value)),
    )


def events_page(service: Service, account: Account | None) -> str:
    """Return the newest events; the page adds those that come."""
    events = last_events(service, account=account, most=ROWS)
    return page(
        heading(
            "Events",
            el(
                "a", "JSON lines", class_="button", href=f"{PREFIX}/events", download="events.jsonl"
            ),
            el("a", "Vendor's export", class_="button", href=f"{PREFIX}/exports/events"),
            lead="Segment Membership Change, newest first. New ones appear by themselves.",
        ),
        table(
            EVENT_COLUMNS,
            [event_row(each) for each in events],
            caption=f"The newest {ROWS} events",
            numeric=("No.",),
            name="events",
        ),
        None if events else empty("No event yet."),
        title="Events",
        here="/events",
        account=None if account is None else account.id,
    )


def errors_page(service: Service, account: Account | None, *, kind: str, user: str) -> str:
    """Return the newest refused entries, filtered."""
    lines = list(
        islice(
            read_refusals(
                service, account=account, kind=kind or None, user=user or None, newest_first=True
            ),
            ROWS,
        )
    )
    rows = [
        el(
            "tr",
            el("td", _time(each["Time"])),
            el("td", el("code", each["Error Type"])),
            el("td", el("code", each["Segment ID"]) if each["Segment ID"] is not None else None),
            el("td", el("code", each["Customer Segment ID"] or "")),
            el("td", el("code", each["User Identity"])),
        )
        for each in lines
    ]
    types = [("", "All types"), *[(each, each) for each in ERROR_TYPES]]
    return page(
        heading(
            "Error Stream",
            *[
                el(
                    "a",
                    each.upper(),
                    class_="button",
                    href=f"{PREFIX}/error-stream?format={each}",
                    download=f"error-stream.{each}",
                )
                for each in ("csv", "json")
            ],
            lead="Entries that an update skipped although its request was answered with 200.",
        ),
        el(
            "form",
            choice("type", "Type", types, kind),
            el("label", el("span", "User"), el("input", type="search", name="user", value=user)),
            el("button", "Filter"),
            class_="row",
            method="get",
        ),
        table(ERROR_COLUMNS, rows, caption=f"The newest {ROWS} skipped entries")
        if rows
        else empty("No skipped entry."),
        title="Error Stream",
        here="/errors",
        account=None if account is None else account.id,
    )
