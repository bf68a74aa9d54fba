"""The emulator's image and the Compose example: what they run works, in this process's segctl."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.program import ENTRY

ROOT = Path(__file__).parents[2]
IMAGE = (ROOT / "Dockerfile.emulator").read_text("utf-8").replace("\\\n", "")
FOLDER = ROOT / "examples" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
GUIDE = (FOLDER / "README.md").read_text("utf-8")
CONSOLE = "\n".join(re.findall(r"(?ms)^```console\n(.*?)^```$", GUIDE))
PASSCODE = "of-our-own"


def words(instruction: str) -> list[str]:
    """Return the words of an instruction of the image in its JSON form."""
    return list(json.loads(re.findall(rf"^{instruction}.*?(\[.*\])$", IMAGE, re.MULTILINE)[-1]))


def variables(service: str) -> dict[str, str]:
    """Return the environment of a service, with the passcode filled in."""
    named = SERVICES[service]["environment"]
    assert named["CLEVERTAP_PASSCODE"].startswith("${EMULATOR_PASSCODE:?")
    return {**named, "CLEVERTAP_PASSCODE": PASSCODE}


@contextmanager
def container(folder: Path) -> Iterator[str]:
    """Run what the image runs, on a free port and with its data in the folder; yield the URL."""
    program, *arguments = words("ENTRYPOINT")
    assert program == "segctl"
    arguments[arguments.index("/data")] = str(folder / "data")
    file = folder / "url"
    command = [*ENTRY, *arguments, "--port", "0", "--url-file", str(file)]
    environ = {name: value for name, value in os.environ.items() if name[:6] != "CLEVER"}
    process = subprocess.Popen(
        command, env=environ | variables("emulator"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "listens" in process.stdout.readline()
        yield "http://127.0.0.1:" + file.read_text().strip().rpartition(":")[2]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_segctl_applies_to_the_container_and_it_is_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (default,) = re.findall(r"WORKSPACE:-(.+?)\}", SERVICES["segctl"]["volumes"][0])
    for file in (FOLDER / default).resolve().glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text("utf-8"), "utf-8")
    (arguments,) = re.findall(r"run --rm segctl (apply .*)", CONSOLE)
    with container(tmp_path) as url:
        health = words("HEALTHCHECK")
        monkeypatch.setenv("HEALTH_URL", f"{url}/emulator/v1/health")
        subprocess.run(health, check=True)
        environ = {**os.environ, **variables("segctl"), "CLEVERTAP_BASE_URL": url}
        subprocess.run([*ENTRY, *shlex.split(arguments)], cwd=tmp_path, env=environ, check=True)
        headers = {
            "X-CleverTap-Account-Id": environ["CLEVERTAP_ACCOUNT_ID"],
            "X-CleverTap-Passcode": PASSCODE,
        }
        assert httpx.get(f"{url}/emulator/v1/segments").status_code == 401
        assert len(httpx.get(f"{url}/emulator/v1/segments", headers=headers).json()) == 3


def test_without_an_account_the_container_does_not_start(tmp_path: Path) -> None:
    _, *arguments = words("ENTRYPOINT")
    arguments[arguments.index("/data")] = str(tmp_path / "data")
    environ = {name: value for name, value in os.environ.items() if name[:6] != "CLEVER"}
    done = subprocess.run(
        [*ENTRY, *arguments], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Set CLEVERTAP_ACCOUNT_ID and CLEVERTAP_PASSCODE" in done.stderr
    assert not (tmp_path / "data").exists()


def test_the_example_names_files_and_a_port_that_exist() -> None:
    builds = [service["build"] for service in SERVICES.values()]
    for build in builds:
        assert (FOLDER / build["context"] / build.get("dockerfile", "Dockerfile")).is_file()
    assert "EXPOSE 8787" in IMAGE
    assert SERVICES["emulator"]["ports"] == ["127.0.0.1:8787:8787"]
    assert variables("segctl")["CLEVERTAP_BASE_URL"] == "http://127.0.0.1:8787"
    assert SERVICES["emulator"]["volumes"] == ["emulator-data:/data"]
    assert "emulator-data" in COMPOSE["volumes"]
    assert "VOLUME /data" in IMAGE


def test_the_readme_sets_every_variable_of_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+):", (FOLDER / "compose.yaml").read_text()))
    assert [name for name in used if name not in GUIDE] == []
    named = {line.split()[-1] for line in CONSOLE.splitlines() if "compose up" in line}
    named |= set(re.findall(r"run --rm (\w+)", CONSOLE))
    assert named == set(SERVICES)
