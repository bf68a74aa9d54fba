"""A webhook receiver that a test scripts, and a client with campaigns."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
from starlette.applications import Starlette

from segctl.emulator.app import create_app
from tests.emulator.conftest import ACCOUNTS, Client, Clock

URL = "http://127.0.0.1:9999/hook"


class Receiver(httpx.AsyncBaseTransport):
    """Answers webhooks as told: with a status, or by raising an error."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests: list[httpx.Request] = []
        self.answers: list[int | type[httpx.TransportError]] = []
        """The next answers; 200 when there are no more."""
        self.while_answering: Callable[[], None] = lambda: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, 20 ms later by the clock."""
        self.requests.append(request)
        self.clock.now += 0.02
        self.while_answering()
        answer = self.answers.pop(0) if self.answers else 200
        if not isinstance(answer, int):
            raise answer("as told")
        return httpx.Response(answer, headers={"location": "/elsewhere"})

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies received."""
        return [json.loads(each.content) for each in self.requests]

    @property
    def users(self) -> list[str]:
        """The identities received, in order."""
        return [profile["identity"] for body in self.bodies for profile in body["profiles"]]


class Campaigns(Client):
    """A client with what a test of campaigns needs."""

    def __init__(self, app: Starlette, clock: Clock, receiver: Receiver) -> None:
        super().__init__(app)
        self.clock = clock
        self.receiver = receiver

    def post(self, path: str, document: Any = None) -> httpx.Response:
        """Send a POST to the emulator's own API, about the first account."""
        joint = "&" if "?" in path else "?"
        return self.call("POST", f"/emulator/v1/{path}{joint}account=ACC-1", json=document or {})

    def campaign(self, **fields: Any) -> Any:
        """Create a campaign and return it: a whole one, or a webhook with other fields."""
        document = fields if "kind" in fields else online() | fields
        answer = self.post("campaigns", document)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run_due(self, seconds: float = 0) -> None:
        """Let time pass, then run what is due."""
        self.clock.now += seconds
        asyncio.run(self.app.state.service.engagement.run_due())

    def show(self, campaign: Any) -> Any:
        """Return the campaign as it is now."""
        return self.read(f"campaigns/{campaign['id']}")

    def triggers(self, campaign: Any) -> Any:
        """Return the trigger log."""
        return self.read(f"campaigns/{campaign['id']}/triggers")

    def errors(self, campaign: Any) -> list[list[str | None]]:
        """Return the errors of the attempts of each trigger."""
        return [[each["error"] for each in one["attempts"]] for one in self.triggers(campaign)]


def online(**trigger: Any) -> dict[str, Any]:
    """Return an online campaign that posts a webhook at once."""
    return {
        "name": "Welcome",
        "kind": "online",
        "channel": "webhook",
        "when": "now",
        "trigger": {"action": "ANY", **trigger},
        "webhook": {"url": URL},
    }


def offline(*include: Any, **fields: Any) -> dict[str, Any]:
    """Return an offline e-mail campaign that runs at once."""
    return {
        "name": "News",
        "kind": "offline",
        "channel": "email",
        "when": "now",
        "include": list(include),
        **fields,
    }


def start(clock: Clock, **options: Any) -> Campaigns:
    """Return a client of an emulator whose campaigns run only when told."""
    receiver = Receiver(clock)
    app = create_app(
        accounts=ACCOUNTS,
        clock=clock,
        webhook_transport=receiver,
        run_campaigns=False,
        **options,
    )
    return Campaigns(app, clock, receiver)
