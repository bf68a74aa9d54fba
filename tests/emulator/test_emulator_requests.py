"""Requests to the vendor's calls: credentials, requests in flight, bodies."""

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from segctl.emulator.app import create_app

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

UPDATE = "/api/updateSegment"
CREATE = "/api/createSegment"


# -- Authentication by two headers --------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CleverTap-Account-Id": "ACC-1"},
        {"X-CleverTap-Passcode": "pass-1"},
        {"X-CleverTap-Account-Id": "ACC-1", "X-CleverTap-Passcode": "pass-2"},
        {"X-CleverTap-Account-Id": "ACC-9", "X-CleverTap-Passcode": "pass-1"},
        {"X-CleverTap-Account-Id": "ACC-1", "X-CleverTap-Passcode": "p\u00e4ss".encode("latin-1")},
    ],
)
@pytest.mark.parametrize("path", [CREATE, UPDATE])
def test_wrong_credentials_are_a_401(client: "Client", path: str, headers: Any) -> None:
    client.headers = headers
    answer = client.call("POST", path, json=[])
    assert (answer.status_code, answer.json()["code"]) == (401, 401)
    assert answer.json()["error"].startswith(
        "Authentication Failure: User authentication failed. "
        "Ensure all authentication values are entered and correct. "
    )


@pytest.mark.parametrize("status", ["401", "403", "404"])
@pytest.mark.parametrize("path", [CREATE, UPDATE])
def test_an_account_may_be_without_api_segments(
    client: "Client", other: "Client", path: str, status: str
) -> None:
    client.settings(api_segments=status, account_api_segments={"ACC-2": "on"})
    answer = client.call("POST", path, json=[name("a")])
    assert (answer.status_code, answer.json()["code"]) == (int(status), int(status))
    assert "API Segments are not enabled for this account" in answer.json()["error"]
    assert client.read("segments") == []
    assert other.create("gold")


def test_header_names_have_no_case(client: "Client") -> None:
    client.headers = {name.lower(): value for name, value in client.headers.items()}
    assert client.create("gold")


def test_an_account_of_another_region_is_a_401(client: "Client") -> None:
    client.settings(account_regions={"ACC-1": "in1"})
    for host, status in (("in1.api.clevertap.com", 200), ("sg1.api.clevertap.com", 401)):
        answer = client.call("POST", CREATE, json=[name(host)], headers={"Host": host})
        assert answer.status_code == status


def test_the_host_without_a_region_is_europes(client: "Client") -> None:
    client.settings(account_regions={"ACC-1": "eu1"})
    answer = client.call("POST", CREATE, json=[name("a")], headers={"Host": "api.clevertap.com"})
    assert answer.status_code == 200


def name(text: str) -> dict[str, str]:
    return {"segment_name": text, "customer_segment_id": text}


def test_an_unknown_account_is_adopted_if_the_settings_say_so(client: "Client") -> None:
    client.settings(unknown_accounts="adopt")
    client.headers = {"X-CleverTap-Account-Id": "NEW", "X-CleverTap-Passcode": "first"}
    assert client.create("gold")
    client.headers["X-CleverTap-Passcode"] = "second"
    assert client.call("POST", CREATE, json=[name("b")]).status_code == 401


# -- Three requests in flight per account and call ----------------------------


class Gate:
    """A sleep that ends when the test opens the gate."""

    def __init__(self) -> None:
        self.waiting = 0
        self.open = asyncio.Event()

    async def __call__(self, _seconds: float) -> None:
        self.waiting += 1
        await self.open.wait()


async def send_together(calls: list[tuple[str, str]], *, let_in: int) -> list[int]:
    """Send all calls at once; release ``let_in`` of them together, and return all statuses."""
    gate = Gate()
    accounts = {"ACC-1": "pass-1", "ACC-2": "pass-2"}
    app = create_app(accounts=accounts, sleep=gate)
    service = app.state.service
    service.change_settings(service.settings.changed({"latency_ms": 1}))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        tasks = [
            asyncio.create_task(
                client.post(
                    path,
                    json=[],
                    headers={
                        "X-CleverTap-Account-Id": account,
                        "X-CleverTap-Passcode": accounts[account],
                    },
                )
            )
            for account, path in calls
        ]
        while gate.waiting < let_in or sum(t.done() for t in tasks) < len(calls) - let_in:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        gate.open.set()
        answers = await asyncio.gather(*tasks)
    assert service.in_flight.peaks["ACC-1", "updateSegment"] <= len(calls)
    return [each.status_code for each in answers]


def test_the_fourth_request_in_flight_is_a_429() -> None:
    statuses = asyncio.run(send_together([("ACC-1", UPDATE)] * 5, let_in=3))
    assert sorted(statuses) == [400, 400, 400, 429, 429]


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/1/upload", 15),
        ("/1/events.json", 3),
        ("/1/profiles.json", 3),
        ("/1/counts/events.json", 3),
        ("/1/counts/profiles.json", 3),
        ("/1/counts/top.json", 3),
        ("/1/counts/trends.json", 3),
        ("/1/now.json", 3),
        ("/1/targets/create.json", 3),
    ],
)
def test_get_events_and_upload_have_limits_of_their_own(path: str, limit: int) -> None:
    statuses = asyncio.run(send_together([("ACC-1", path)] * (limit + 1), let_in=limit))
    assert sorted(statuses) == [400] * limit + [429]


def test_create_and_update_are_counted_apart() -> None:
    calls = [("ACC-1", UPDATE)] * 3 + [("ACC-1", CREATE)] * 3
    assert 429 not in asyncio.run(send_together(calls, let_in=6))


def test_accounts_are_counted_apart() -> None:
    calls = [("ACC-1", UPDATE)] * 3 + [("ACC-2", UPDATE)] * 3
    assert 429 not in asyncio.run(send_together(calls, let_in=6))


def test_a_429_says_too_many_concurrent_requests(client: "Client") -> None:
    client.faults({"fault": "too_many_requests", "call": "updateSegment"})
    answer = client.update(["a"], [("gold", "ADD")])
    assert answer.status_code == 429
    assert answer.json() == {
        "status": "fail",
        "error": "Too many concurrent requests",
        "code": 429,
    }
    assert "retry-after" not in answer.headers


def test_the_figures_show_statuses_and_the_most_in_flight(client: "Client") -> None:
    client.create("gold")
    client.update([], [("gold", "ADD")])
    client.update(["a"], [("gold", "ADD")])
    stats = client.read("stats")
    assert stats["requests"] == {"createSegment": {"200": 1}, "updateSegment": {"200": 1, "400": 1}}
    assert stats["max_in_flight"] == {"createSegment": 1, "updateSegment": 1}


# -- Bodies -------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}


def test_a_name_twice_in_an_object_is_refused_and_not_dropped(client: "Client") -> None:
    client.create("gold")
    line = b'{"customer_segment_id": "gold", "action": "ADD"}'
    user = b'{"identity": "a", "identity": "b"}'
    body = b'{"bulk_profiles": [{"user_profiles": [%b], "segments": [%b]}]}' % (user, line)
    answer = client.call("POST", UPDATE, content=body, headers=JSON)
    assert answer.status_code == 400
    assert "an object of the body has a name twice" in answer.json()["error"]
    assert client.members("gold") == []


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", JSON),
        (b"{", JSON),
        (b"nonsense", JSON),
        (b'{"bulk_profiles": NaN}', JSON),
        (b'{"bulk_profiles": ' + b"9" * 5000 + b"}", JSON),
        (b'{"bulk_profiles": 1e999}', JSON),
        (b'"\xff\xfe"', JSON),
        (b'{"bulk_profiles": "\\ud800"}', JSON),
        (b"[" * 40 + b"]" * 40, JSON),
        (b"[" * 100_000 + b"]" * 100_000, JSON),
        (b'{"a":' * 100_000, JSON),
        (b"{}", {"Content-Type": "text/plain"}),
        (b"{}", {"Content-Type": "application/json; charset=utf-16"}),
        (b"{}", {}),
    ],
)
@pytest.mark.parametrize("path", [CREATE, UPDATE])
def test_a_body_that_is_not_proper_json_is_the_vendors_400(
    client: "Client", path: str, content: bytes, headers: dict[str, str]
) -> None:
    answer = client.call("POST", path, content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["status"] == "fail"
    assert "Traceback" not in answer.text


def test_a_body_may_have_just_so_many_levels_as_the_setting_says(client: "Client") -> None:
    client.settings(max_json_depth=8)
    for levels, is_deeper in ((8, False), (9, True)):
        for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
            body = opened * levels + b"1" + closed * levels
            answer = client.call("POST", UPDATE, content=body, headers=JSON)
            assert answer.status_code == 400
            assert ("nested deeper than 8 levels" in answer.json()["error"]) == is_deeper


def test_a_body_over_the_limit_is_refused_unread(client: "Client") -> None:
    client.settings(max_body_bytes=1024)
    answer = client.call("POST", UPDATE, content=b" " * 2000, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, 413)


def test_a_body_over_the_limit_is_refused_without_a_length_too(client: "Client") -> None:
    client.settings(max_body_bytes=1024)

    async def pieces() -> Any:
        for _ in range(3):
            yield b" " * 500

    answer = client.call("POST", UPDATE, content=pieces(), headers=JSON)
    assert answer.status_code == 413


def test_a_huge_segment_id_is_a_segment_that_is_not_there(client: "Client") -> None:
    client.update(["a"], [{"ct_segment_id": 10**300, "action": "ADD"}])
    assert client.error_types() == ["API_SEGMENT_NOT_FOUND_OR_DELETED"]
    assert client.read("error-stream")[0]["Segment ID"] == str(10**300)


def test_other_paths_and_methods_answer_in_the_vendors_form(client: "Client") -> None:
    assert client.call("GET", "/nowhere").json()["code"] == 404
    assert client.call("GET", UPDATE).json()["code"] == 405
    assert client.call("POST", UPDATE + "/", json={}).json()["code"] == 404


def test_a_bug_of_the_emulator_is_a_500_without_a_traceback(
    client: "Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(client.app.state.service.store, "create", fail)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=client.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://e", headers=client.headers
        ) as http:
            return await http.post(CREATE, json=[name("a")])

    answer = asyncio.run(send())
    assert (answer.status_code, answer.json()["code"]) == (500, 500)
    assert "ZeroDivision" not in answer.text
