"""Takes pictures of every page: empty and full, light and dark, desktop and phone.

    python -m tests.emulator.screenshots FOLDER [PATH-PREFIX …]

They are for a person to look at; no test compares them.
"""

import itertools
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

from segctl.emulator.testing import RunningEmulator, running_emulator

CHROMIUM = "/usr/bin/chromium"
SIZES = {"desktop": (1280, 860), "phone": (375, 812)}
LONGEST = 1700
"""Height of a picture at most."""

NAMES = (
    "Gold Users",
    "Council members of the northern region who opened a newsletter in the last thirty days",
    "عملاء الذهب",
    "  doubled  and\ttabbed ",
    "safe\u202egnp.exe",
    "👩‍👩‍👧 families & friends <b>",
    "W" * 200,
    *[f"Decile {number}" for number in range(1, 11)],
)
HOSTILE_USERS = ("a/b/../c", "  spaced  ", "x" * 200, "<script>alert(1)</script>", "مستخدم")


class Fill:
    """Fills an emulator by its calls, as a client would."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self.client = httpx.Client(base_url=emulator.url, headers=emulator.headers)
        self.segments: list[int] = []
        self.campaigns: list[int] = []

    def call(self, method: str, path: str, json: Any = None) -> Any:
        """Send one request."""
        answer = self.client.request(method, path, json=json)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def update(self, users: Sequence[str], segment: str, action: str) -> None:
        """Send one update."""
        entry = {
            "user_profiles": [{"identity": user} for user in users],
            "segments": [{"customer_segment_id": segment, "action": action}],
        }
        self.call("POST", "/api/updateSegment", {"bulk_profiles": [entry]})

    def run(self) -> None:
        """Create segments of all sizes, members that come and go, and skipped entries."""
        dice = random.Random(7)  # noqa: S311 - the same pictures each time
        entries = [
            {"segment_name": name, "customer_segment_id": f"seg-{number}" + "-long" * (number == 1)}
            for number, name in enumerate(NAMES)
        ]
        created = self.call("POST", "/api/createSegment", entries)
        self.segments = [each["id"] for each in created]
        ids = [each["customer_segment_id"] for each in entries]
        for step in range(60):
            users = [f"user-{dice.randrange(4000):05d}@example.com" for _ in range(100)]
            self.update(users, dice.choice(ids), "REMOVE" if step % 7 == 6 else "ADD")
        self.update(HOSTILE_USERS, ids[0], "ADD")
        self.update(["ada@example.com", ""], "nowhere", "ADD")
        self.update(["ada@example.com", "", "grace@example.com"], ids[0], "ADD")
        profile = {"Email": "ada@example.com", "Phone": "+4915112345678", "Name": "Ada"}
        record = {"identity": "ada@example.com", "type": "profile", "profileData": profile}
        self.call("POST", "/1/upload", {"d": [record]})
        self.call("DELETE", f"/emulator/v1/segments/{self.segments[-1]}")
        self.run_campaigns(ids)

    def run_campaigns(self, ids: Sequence[str]) -> None:
        """Create campaigns of all kinds, and a webhook that nobody answers."""
        offline = {"kind": "offline", "channel": "email", "include": ids[:3], "exclude": ids[3:4]}
        trigger = {"action": "ADD", "segment": ids[0], "delay_seconds": 0}
        where = [{"name": "Segment Name", "operator": "contains", "value": ["Gold", "<b>"]}]
        webhook = {"url": "http://127.0.0.1:9/hook?<b>", "secret": "x"}
        named = [
            {"name": "Spring newsletter", "when": "now", **offline},
            {"name": NAMES[6], "when": None, **offline},
            {
                "name": "Welcome to Gold",
                "kind": "online",
                "channel": "webhook",
                "when": "now",
                "trigger": {**trigger, "where": where},
                "webhook": webhook,
            },
            {
                "name": "Gold journey",
                "kind": "journey",
                "channel": "push",
                "when": "now",
                "trigger": {**trigger, "action": "ADD", "delay_seconds": 30},
                "exit_on_leave": True,
            },
        ]
        self.campaigns = [
            self.call("POST", "/emulator/v1/campaigns", document)["id"] for document in named
        ]
        self.update(["new-1@example.com", HOSTILE_USERS[0] + "2"], ids[0], "ADD")

    def paths(self) -> dict[str, str]:
        """Return the pages that exist only when there is something to show."""
        return {
            "segment": f"/segments/{self.segments[0]}",
            "segment-deleted": f"/segments/{self.segments[-1]}",
            "segment-long": f"/segments/{self.segments[6]}",
            "segments-none-found": "/?q=nothing",
            "segment-none-found": f"/segments/{self.segments[0]}?q=nothing",
            "user": "/users?identity=ada%40example.com",
            "user-hostile": "/users?identity=a%2Fb%2F..%2Fc",
            "events-filtered": "/events?action=REMOVE",
            "campaign-offline": f"/campaigns/{self.campaigns[0]}",
            "campaign-draft": f"/campaigns/{self.campaigns[1]}",
            "campaign-online": f"/campaigns/{self.campaigns[2]}",
            "campaign-journey": f"/campaigns/{self.campaigns[3]}",
            "campaigns-new-found": "/campaigns/new?q=decile",
            "errors-filtered": "/errors?user=ada%40example.com",
        }


PATHS = {
    "segments": "/",
    "users": "/users",
    "users-not-found": "/users?user=nobody",
    "events": "/events",
    "errors": "/errors",
    "campaigns": "/campaigns",
    "campaigns-new": "/campaigns/new",
    "requests": "/requests",
    "settings": "/settings",
    "faults": "/faults",
    "not-found": "/segments/1",
}


def take(browser: Browser, url: str, paths: dict[str, str], folder: Path, state: str) -> None:
    """Take the pictures of some pages."""
    for scheme, size in itertools.product(("light", "dark"), SIZES):
        width, height = SIZES[size]
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="light" if scheme == "light" else "dark",
        )
        for name, path in paths.items():
            page.goto(url + path)
            page.wait_for_timeout(150)
            page.screenshot(
                path=folder / f"{name}-{state}-{scheme}-{size}.png",
                full_page=True,
                clip={"x": 0, "y": 0, "width": width, "height": LONGEST},
            )
        page.close()


def main(folder: Path, *prefixes: str) -> None:
    """Take all pictures, or those of the pages whose names start with a prefix."""
    folder.mkdir(parents=True, exist_ok=True)

    def chosen(paths: dict[str, str]) -> dict[str, str]:
        return {name: path for name, path in paths.items() if name.startswith(prefixes or ("",))}

    with running_emulator() as emulator, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox"]
        )
        take(browser, emulator.url, chosen(PATHS), folder, "empty")
        fill = Fill(emulator)
        fill.run()
        take(browser, emulator.url, chosen(PATHS | fill.paths()), folder, "full")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
