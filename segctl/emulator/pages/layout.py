"""What all pages have in common: the frame, tables, figures and numbers."""

from collections.abc import Iterable, Sequence

from segctl.emulator.pages.html import Child, Html, el, join

NAVIGATION = (
    ("/", "Segments"),
    ("/events", "Events"),
    ("/errors", "Error Stream"),
    ("/settings", "Settings"),
    ("/faults", "Faults"),
)


def page(*content: Child, title: str, here: str, account: str | None = None) -> str:
    """Return a whole page."""
    links = [
        el("a", label, href=path, aria_current="page" if path == here else None)
        for path, label in NAVIGATION
    ]
    return "<!doctype html>\n" + el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("title", f"{title} · segctl emulator"),
            el("link", rel="icon", href="/assets/icon.svg", type="image/svg+xml"),
            el("link", rel="stylesheet", href="/assets/app.css"),
            el("script", src="/assets/app.js", defer=True),
        ),
        el(
            "body",
            el("a", "Skip to content", class_="skip", href="#content"),
            el(
                "header",
                el("a", el("span", "segctl", class_="mark"), " emulator", class_="brand", href="/"),
                el("nav", links, aria_label="Main"),
                el("span", "not live", id="live", class_="live", role="status"),
            ),
            el("main", content, id="content", tabindex="-1", data_account=account),
            el(
                "footer",
                "A local stand-in for CleverTap's API Segments. Nothing here reaches CleverTap.",
            ),
        ),
        lang="en",
    )


def heading(title: str, *beside: Child, lead: Child = None) -> Html:
    """Return a page's first heading, with buttons beside it."""
    return join(
        [
            el("div", el("h1", title), el("div", beside, class_="actions"), class_="heading"),
            None if lead is None else el("p", lead, class_="lead"),
        ]
    )


def tiles(figures: Iterable[tuple[str, str, int]]) -> Html:
    """Return figures with their names; the key marks the one to keep current."""
    return el(
        "dl",
        [
            el("div", el("dt", label), el("dd", number(value), data_figure=key), class_="tile")
            for key, label, value in figures
        ],
        class_="tiles",
    )


def table(
    columns: Sequence[str],
    rows: Iterable[Child],
    *,
    caption: str,
    numeric: Iterable[str] = (),
    name: str | None = None,
) -> Html:
    """Return a table that scrolls by itself where it is too wide."""
    right = set(numeric)
    head = [
        el("th", each, scope="col", class_="num" if each in right else None) for each in columns
    ]
    return el(
        "div",
        el(
            "table",
            el("caption", caption),
            el("thead", el("tr", head)),
            el("tbody", rows, id=name),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def empty(*content: Child) -> Html:
    """Return what stands in the place of an empty list."""
    return el("p", content, class_="empty")


def number(value: int) -> str:
    """Return a whole number for people."""
    return f"{value:,}"


def choice(name: str, label: str, options: Iterable[tuple[str, str]], chosen: str) -> Html:
    """Return a labelled select."""
    return el(
        "label",
        el("span", label),
        el(
            "select",
            [el("option", text, value=value, selected=value == chosen) for value, text in options],
            name=name,
        ),
    )
