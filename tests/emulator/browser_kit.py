"""A browser on the emulator's pages, in which every error of a page fails the test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from segctl.emulator.testing import RunningEmulator, running_emulator

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
AXE = Path(__file__).parents[2] / ".cache/axe/node_modules/axe-core/axe.min.js"
"""Installed by ``make axe``."""


class Site:
    """An emulator, a client of it, and tabs of one browser in which nothing goes wrong."""

    def __init__(self, emulator: RunningEmulator, context: BrowserContext) -> None:
        self.emulator = emulator
        self.context = context
        self.console_messages: list[str] = []
        self.page = self.new_page()

    def new_page(self) -> Page:
        """Open another tab."""
        page = self.context.new_page()
        page.on("console", lambda message: self.console_messages.append(message.text))
        page.on("pageerror", lambda error: self.console_messages.append(str(error)))
        return page

    def call(
        self, method: str, path: str, json: Any = None, status: int = 200, **headers: str
    ) -> Any:
        """Send one request, and check the status; ``headers`` replace the credentials."""
        answer = httpx.request(
            method,
            self.emulator.url + path,
            json=json,
            headers={**self.emulator.headers, **headers},
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def create(self, name: str, customer_id: str) -> int:
        """Create a segment."""
        entry = {"segment_name": name, "customer_segment_id": customer_id}
        return int(self.call("POST", "/api/createSegment", [entry])[0]["id"])

    def add(self, customer_id: str, *users: str) -> None:
        """Add members."""
        entry = {
            "user_profiles": [{"identity": user} for user in users],
            "segments": [{"customer_segment_id": customer_id, "action": "ADD"}],
        }
        self.call("POST", "/api/updateSegment", {"bulk_profiles": [entry]})

    def confirm(self, button: str) -> None:
        """Click a button, and answer its question with yes."""
        self.page.get_by_role("button", name=button).click()
        self.page.get_by_role("dialog").get_by_role("button", name="Yes").click()

    def go(self, path: str, page: Page | None = None) -> None:
        """Open a page and wait until it is live."""
        page = page or self.page
        page.goto(self.emulator.url + path)
        expect(page.locator("#live")).to_have_text("live")

    def take_refusals(self) -> None:
        """Drop the messages that the browser itself logs about refused requests."""
        assert self.console_messages
        assert all("status of 4" in each for each in self.console_messages)
        self.console_messages.clear()

    def forgive_not_found(self) -> None:
        """Drop what the browser logs about pages that do not exist."""
        self.console_messages = [each for each in self.console_messages if "404" not in each]

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong on the page, one text for each element."""
        if not self.page.evaluate("'axe' in window"):
            # Not by a script element: the pages' security policy allows no other scripts.
            self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Yield a Chromium.

    It runs for one module of tests, not for all: while Playwright's loop runs in this
    thread, other tests could not start theirs.  Its start takes a third of a second.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def open_site(emulator: RunningEmulator, browser: Browser) -> Iterator[Site]:
    """Yield an empty emulator and a new tab; any message in the console is an error."""
    emulator.restart()
    context = browser.new_context(reduced_motion="reduce")
    site = Site(emulator, context)
    yield site
    context.close()
    assert site.console_messages == []


@contextmanager
def open_emulator_and_browser() -> Iterator[tuple[RunningEmulator, Browser]]:
    """Yield one emulator and one browser for the tests of a module."""
    with running_emulator() as emulator, open_browser() as browser:
        yield emulator, browser
