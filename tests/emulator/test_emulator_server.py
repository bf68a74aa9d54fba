"""The server: ports, faults from a file, three clients at once."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from segctl.emulator.errors import ExposedError, InvalidSettingsError
from segctl.emulator.server import serve
from segctl.emulator.settings import Settings
from segctl.emulator.testing import running_emulator

if TYPE_CHECKING:
    from segctl.emulator.testing import RunningEmulator


def test_three_clients_that_wait_for_their_answers_never_get_a_429() -> None:
    statuses: list[int] = []
    with running_emulator() as emulator:

        def work() -> None:
            with httpx.Client(base_url=emulator.url, headers=emulator.headers) as http:
                statuses.extend(
                    http.post("/api/updateSegment", json={}).status_code for _ in range(150)
                )

        threads = [threading.Thread(target=work) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        stats = httpx.get(f"{emulator.url}/emulator/v1/stats").json()
    assert statuses == [400] * 450
    assert stats["max_in_flight"]["updateSegment"] <= 3


def test_a_taken_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(port=taken.getsockname()[1])


def test_another_host_is_refused_before_any_data_is_created(tmp_path: Path) -> None:
    with pytest.raises(ExposedError):
        serve(host="0.0.0.0", port=0, data=tmp_path / "data")  # noqa: S104 - what is refused
    assert not (tmp_path / "data").exists()


def test_faults_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text('{"rules": [{"fault": "nope"}]}')
    with pytest.raises(InvalidSettingsError, match="must be one of latency"):
        serve(port=0, faults=file)
    file.write_text("{")
    with pytest.raises(InvalidSettingsError, match="not JSON"):
        serve(port=0, faults=file)


def test_latency_delays_an_answer_over_a_socket() -> None:
    with running_emulator(settings=Settings(latency_ms=30)) as emulator:
        answer = httpx.post(
            f"{emulator.url}/api/createSegment",
            json=[{"segment_name": "G", "customer_segment_id": "g"}],
            headers=emulator.headers,
        )
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.03


def test_a_running_emulator_has_the_environment_for_segctl() -> None:
    with running_emulator(accounts={"A": "p"}) as emulator:
        assert emulator.environment == {
            "CLEVERTAP_ACCOUNT_ID": "A",
            "CLEVERTAP_PASSCODE": "p",
            "CLEVERTAP_BASE_URL": emulator.url,
        }


def test_restart_ends_all_faults(running: "RunningEmulator") -> None:
    with httpx.Client(base_url=running.url, headers=running.headers) as http:
        http.put("/emulator/v1/faults", json={"rules": [{"fault": "server_error"}]})
        running.restart()
        made = http.post(
            "/api/createSegment", json=[{"segment_name": "G", "customer_segment_id": "g"}]
        )
        assert made.status_code == 200


@pytest.fixture
def running() -> "Iterator[RunningEmulator]":
    """Yield a server for one test."""
    with running_emulator() as emulator:
        yield emulator
