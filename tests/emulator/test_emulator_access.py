"""Access: loopback only by default, no foreign pages, a passcode if others can connect."""

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from segctl.emulator.app import create_app
from segctl.emulator.errors import ExposedError
from segctl.emulator.hosts import is_loopback
from segctl.emulator.pages import views
from segctl.emulator.server import check_exposure, serve

if TYPE_CHECKING:
    from tests.emulator.conftest import Client


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - what must be refused
        ("::", False),
        ("192.168.0.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_only_loopback_names_and_addresses_are_loopback(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) == loopback


@pytest.mark.parametrize(
    ("accounts", "allow_remote"),
    [
        (None, False),
        ({"A": "secret"}, False),
        (None, True),
        ({}, True),
        ({"A": ""}, True),
        ({"A": "emulator"}, True),
    ],
)
def test_another_host_needs_permission_and_a_passcode(accounts: Any, *, allow_remote: bool) -> None:
    with pytest.raises(ExposedError):
        check_exposure("0.0.0.0", accounts=accounts, allow_remote=allow_remote)  # noqa: S104 - what must be refused


def test_with_permission_and_a_passcode_another_host_is_served() -> None:
    assert check_exposure("0.0.0.0", accounts={"A": "secret"}, allow_remote=True)  # noqa: S104 - allowed here
    assert not check_exposure("127.0.0.1", accounts=None, allow_remote=False)


@pytest.mark.parametrize("path", ["/emulator/v1/segments", "/", "/settings"])
def test_an_exposed_emulator_requires_a_passcode_for_reads_and_pages(
    client: "Client", path: str
) -> None:
    client.app.state.service.requires_passcode = True
    headers, client.headers = client.headers, {}
    answer = client.call("GET", path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert "account id as the user name" in answer.json()["error"]
    basic = base64.b64encode(b"ACC-1:pass-1").decode()
    for credentials in (headers, {"Authorization": f"Basic {basic}"}):
        assert client.call("GET", path, headers=credentials).status_code == 200
    for wrong in ("Basic x", "Basic " + base64.b64encode(b"ACC-1:no").decode(), "Bearer x"):
        assert client.call("GET", path, headers={"Authorization": wrong}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_page_of_another_site_changes_nothing(client: "Client", headers: Any) -> None:
    client.create("gold")
    assert client.call("POST", "/emulator/v1/reset", headers=headers).status_code == 403
    assert len(client.read("segments")) == 1


def test_the_emulators_own_pages_may_change_data(client: "Client") -> None:
    headers = {"Origin": "http://emulator", "Sec-Fetch-Site": "same-origin"}
    assert client.call("POST", "/emulator/v1/reset", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8787", 200),
        ("localhost", 200),
        ("[::1]:80", 200),
        ("in1.localhost:8787", 200),
        ("in1.api.clevertap.com", 200),
        ("rebound.example:8787", 403),
        ("", 403),
    ],
)
def test_a_server_on_loopback_answers_to_its_own_names(
    client: "Client", host: str, status: int
) -> None:
    client.app.state.service.loopback_only = True
    answer = client.call("GET", "/emulator/v1/stats", headers={"Host": host})
    assert answer.status_code == status


def test_pages_forbid_foreign_scripts_and_frames(client: "Client") -> None:
    policy = client.call("GET", "/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.fixture
def exposed(client: "Client", other: "Client") -> "Client":
    """Return the first account's client of an emulator that other machines can reach."""
    client.create("gold")
    other.create("theirs")
    client.app.state.service.requires_passcode = True
    return client


@pytest.mark.parametrize("path", ["segments", "segments?account=", "segments?account=ACC-1"])
def test_an_account_sees_only_itself_if_others_can_connect(exposed: "Client", path: str) -> None:
    assert [each["account"] for each in exposed.read(path)] == ["ACC-1"]
    assert "ACC-2" not in exposed.call("GET", "/").text


def test_another_account_does_not_exist_if_others_can_connect(
    exposed: "Client", other: "Client"
) -> None:
    (segment,) = other.read("segments")
    number = segment["ct_segment_id"]
    base = "/emulator/v1/segments"
    campaign = {"name": "x", "kind": "offline", "channel": "email", "include": [number]}
    campaign_path = "/emulator/v1/campaigns"
    theirs = other.call("POST", campaign_path, json={**campaign, "when": None}).json()["id"]
    ids = {"ct_segment_ids": [number]}
    answers = [
        exposed.call("GET", f"{base}?account=ACC-2"),
        exposed.call("GET", f"{base}?account=ACC-1&account=ACC-2"),
        exposed.call("GET", f"{base}/{number}"),
        exposed.call("GET", f"{base}/{number}/members"),
        exposed.call("DELETE", f"{base}/{number}"),
        exposed.call("POST", f"{base}/delete", json=ids),
        exposed.call("GET", f"/segments/{number}"),
        exposed.call("GET", f"{campaign_path}/{theirs}"),
        exposed.call("GET", f"{campaign_path}/{theirs}/audience"),
        exposed.call("DELETE", f"{campaign_path}/{theirs}"),
        exposed.call("POST", "/emulator/v1/other-writer?account=ACC-2", json={"change": "delete"}),
    ]
    assert {each.status_code for each in answers} == {404}
    assert not other.read(f"segments/{number}")["deleted"]


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("PUT", "settings"),
        ("DELETE", "settings"),
        ("GET", "faults"),
        ("HEAD", "faults"),
        ("PUT", "faults"),
        ("POST", "reset"),
    ],
)
def test_only_the_first_account_uses_what_concerns_all(
    exposed: "Client", other: "Client", method: str, name: str
) -> None:
    options: Any = {"json": {}} if method == "PUT" else {}
    assert other.call(method, f"/emulator/v1/{name}", **options).status_code == 403
    assert len(exposed.read("segments")) == 1
    assert exposed.call(method, f"/emulator/v1/{name}", **options).status_code == 200


def test_strangers_cannot_be_let_in_while_others_can_connect(exposed: "Client") -> None:
    answer = exposed.call("PUT", "/emulator/v1/settings", json={"unknown_accounts": "adopt"})
    assert answer.status_code == 400
    assert "start without --allow-remote to use adopt" in answer.json()["error"]
    assert exposed.read("settings")["unknown_accounts"] == "refuse"


@pytest.mark.parametrize("where", ["file", "data"])
def test_a_start_that_lets_strangers_in_is_refused(tmp_path: Path, where: str) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"unknown_accounts": "adopt"}')
    if where == "data":
        service = create_app(data=tmp_path / "data").state.service
        service.change_settings(service.settings.changed({"unknown_accounts": "adopt"}))
        service.store.close()
        file.write_text("{}")
    with pytest.raises(ExposedError, match="unknown_accounts is adopt") as raised:
        start_exposed(tmp_path / "data", settings=file)
    assert "--settings" in raised.value.hint


def test_a_public_passcode_in_the_data_is_refused(tmp_path: Path) -> None:
    store = create_app(data=tmp_path).state.service.store
    store.add_account("ADOPTED", "emulator")
    store.close()
    with pytest.raises(ExposedError, match="ADOPTED of the data folder has the default passcode"):
        start_exposed(tmp_path)


def start_exposed(data: Path, settings: Path | None = None) -> None:
    serve(
        host="0.0.0.0",  # noqa: S104 - what is refused
        port=0,
        data=data,
        accounts={"A": "secret"},
        allow_remote=True,
        settings=settings,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/events",
        "/errors",
        "/campaigns",
        "/requests",
        "/settings",
        "/faults",
        "/users?q=theirs",
    ],
)
def test_no_page_shows_another_account_if_others_can_connect(
    exposed: "Client", other: "Client", path: str
) -> None:
    other.update(["theirs"], [("theirs", "ADD"), ("nope", "ADD")])
    answer = exposed.call("GET", path, headers={"Accept": "text/html"})
    assert answer.status_code in {200, 404}
    assert "ACC-2" not in answer.text
    assert "Name of theirs" not in answer.text


def test_an_apply_of_another_account_does_not_exist_if_others_can_connect(
    exposed: "Client", other: "Client"
) -> None:
    other.headers["User-Agent"] = "their-agent"
    other.update(["theirs"], [("theirs", "ADD")])
    numbers = [each["number"] for each in other.read("applies")]
    for page in ("/events", "/errors", "/events/export", "/errors/export"):
        for number in numbers:
            assert exposed.call("GET", f"{page}?apply={number}").status_code == 400


def test_requests_of_another_account_are_not_counted(exposed: "Client", other: "Client") -> None:
    for _ in range(3):
        other.update([], [])
    stats = exposed.read("stats")
    assert stats["requests"] == {"createSegment": {"200": 1}, "updateSegment": {}}
    assert stats["max_in_flight"] == {"createSegment": 1, "updateSegment": 0}


@pytest.mark.parametrize("name", ["account_regions", "account_api_segments"])
def test_settings_of_another_account_are_not_shown(
    exposed: "Client", other: "Client", name: str
) -> None:
    values = {"ACC-1": "on", "ACC-2": "on"}
    exposed.settings(**{name: values})
    assert exposed.read("settings")[name] == values
    assert other.read("settings")[name] == {"ACC-2": "on"}
    assert "ACC-1" not in other.call("GET", "/settings").text


@pytest.mark.parametrize("path", ["/api/updateSegment", "/emulator/v1/stats"])
def test_a_wrong_passcode_and_an_unknown_account_look_alike(exposed: "Client", path: str) -> None:
    answers = []
    for account in ("ACC-2", "ACC-3", ""):
        exposed.headers["X-CleverTap-Account-Id"] = account
        answers.append(exposed.call("POST", path))
    assert {each.status_code for each in answers} == {401}
    assert len({each.text for each in answers}) == 1


def test_no_path_shows_or_changes_anything_of_another_account(
    exposed: "Client", other: "Client"
) -> None:
    other.headers["User-Agent"] = "hidden-agent"
    number = other.create("hidden-segment")["hidden-segment"]
    other.update(["hidden-user"], [("hidden-segment", "ADD"), ("hidden-typo", "ADD")])
    campaign = {
        "name": "hidden-campaign",
        "kind": "online",
        "channel": "email",
        "when": "now",
        "trigger": {"action": "ADD", "segment": "hidden-segment"},
    }
    theirs = other.call("POST", "/emulator/v1/campaigns", json=campaign).json()["id"]
    names = {"campaign": theirs, "user": "hidden-user"}
    documented = {
        re.sub(r"\{(\w+)\}", lambda found: str(names.get(found[1], number)), path): methods
        for path, methods in exposed.read("openapi.json")["paths"].items()
        if not path.endswith(("/stream", "/reset"))
    }
    calls = [(method, path) for path, methods in documented.items() for method in methods]
    pages = [each.path for each in views.routes() if "{" not in each.path]
    calls += [("get", page) for page in pages]
    calls += [("get", f"/segments/{number}"), ("get", f"/campaigns/{theirs}")]
    before = other.read("segments"), other.read("campaigns"), other.read("stats")
    for method, path in calls:
        options: Any = {"json": {}} if method in {"post", "put"} else {}
        answer = exposed.call(method.upper(), path, **options)
        assert "hidden-" not in answer.text, (method, path)
        assert "ACC-2" not in answer.text, (method, path)
    assert (other.read("segments"), other.read("campaigns"), other.read("stats")) == before
