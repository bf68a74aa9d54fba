"""The emulator as a command: it says how to use it, and why it cannot start."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from segctl.emulator import server
from tests.program import CODE, ENTRY

Segctl = Callable[..., Any]


def test_it_prints_how_to_use_it_answers_and_ends_on_ctrl_c() -> None:
    command = [*ENTRY, "emulator", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(7)]
    url = told[0].removeprefix("The emulator listens on ").removesuffix(". Ctrl-C ends it.\n")
    try:
        assert httpx.get(f"{url}/emulator/v1/segments").status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert "  export CLEVERTAP_ACCOUNT_ID=EMULATOR CLEVERTAP_PASSCODE=emulator\n" in told
    assert f"  export CLEVERTAP_BASE_URL={url}\n" in told
    assert (process.returncode, err) == (0, "")


def test_without_its_libraries_it_says_what_to_install() -> None:
    code = f"import sys; sys.modules['uvicorn'] = None; {CODE}"
    done = subprocess.run(
        [sys.executable, "-c", code, "emulator"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the emulator needs uvicorn, which is not installed\n"
        "  Install it with: pip install 'segctl[emulator]'\n"
    )


def test_a_port_that_is_taken_is_no_bug(segctl: Segctl) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = segctl("emulator", "--port", str(port))
    assert done.code == 1
    assert done.err == (
        f"Error: port {port} is taken\n"
        "  Stop the program that uses it, or choose another port with --port.\n"
    )


def test_others_may_reach_it_only_when_allowed(segctl: Segctl) -> None:
    done = segctl("emulator", "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - refused
    assert done.code == 1
    assert "Add --allow-remote to allow that" in done.err


@pytest.mark.parametrize("text", ["{", '{"nope": 1}'])
def test_a_wrong_faults_file_is_no_bug(text: str, segctl: Segctl, workspace: Path) -> None:
    (workspace / "faults.json").write_text(text, encoding="utf-8")
    done = segctl("emulator", "--port", "0", "--faults", "faults.json")
    assert done.code == 1
    assert done.err.startswith("Error: the emulator cannot start: ")


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://0.0.0.0:8787", "http://127.0.0.1:8787"), ("http://[::]:8787", "http://[::1]:8787")],
)
def test_an_address_of_all_networks_is_told_as_it_is_reached(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch, url: str, here: str
) -> None:
    monkeypatch.setattr(server, "serve", lambda *, ready, **_: ready(url))
    told = segctl("emulator").out
    assert f"  export CLEVERTAP_BASE_URL={here}\n" in told
    assert told.endswith(
        "From another machine, write the name of this one in the URL.\n"
        "From another machine, segctl also needs spec.provider.allowPlainHttp: true.\n"
    )
