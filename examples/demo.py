"""The demo that `make demo` runs: plan, apply and check, from end to end.

Plans and applies the CDNOW example to an emulator, as of two month-ends, and compares the
emulator's members with an independent computation (``cdnow/expected.py``). It uses segctl only
through its command line.
"""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx

from examples.cdnow import expected

CDNOW = Path(__file__).parent / "cdnow"
SEGCTL = Path(sys.executable).with_name("segctl")
MONTH_ENDS = (date(1997, 12, 31), date(1998, 1, 31))
START_SECONDS = 30.0
CREDENTIALS = {"CLEVERTAP_ACCOUNT_ID": "EMULATOR", "CLEVERTAP_PASSCODE": "emulator"}


class DemoFailed(Exception):
    """A step of the demo did not have the expected result."""


def print_headline(text: str) -> None:
    """Print a headline."""
    print(f"\n▶ {text}", flush=True)


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def emulator(log: Path) -> Iterator[str]:
    """Run ``segctl emulator`` on a free port. Yields its URL once it answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [SEGCTL, "emulator", "--port", str(port), "--latency-ms", "20"],
            env={**os.environ, **CREDENTIALS},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            await_answer(url, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the emulator answers. Raises ``DemoFailed`` if it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/emulator/v1/segments").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise DemoFailed(f"the emulator did not start: {log.read_text(encoding='utf-8')}")


def run_segctl(workspace: Path, url: str, *arguments: str) -> str:
    """Run a segctl command in the workspace, show it with its output, and return the output."""
    print(f"\n$ segctl {shlex.join(arguments)}", flush=True)
    run = subprocess.run(
        [SEGCTL, *arguments],
        cwd=workspace,
        env={
            **os.environ,
            **CREDENTIALS,
            "CLEVERTAP_BASE_URL": url,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    print(run.stdout, end="", flush=True)
    if run.returncode:
        raise DemoFailed(f"segctl {arguments[0]} ended with exit code {run.returncode}")
    return run.stdout


def fetch_members(url: str) -> dict[str, set[str]]:
    """Return the members of every segment in the emulator, by customer segment id."""
    with httpx.Client(base_url=f"{url}/emulator/v1", timeout=30) as client:
        segments = client.get("/segments").raise_for_status().json()
        members = {}
        for segment in segments:
            answer = client.get(f"/segments/{segment['ct_segment_id']}/members")
            lines = answer.raise_for_status().text.splitlines()
            members[segment["customer_segment_id"]] = {
                json.loads(line)["identity"] for line in lines
            }
        return members


def check_members(url: str, as_of: date) -> None:
    """Compare the emulator's members with the expected ones. Raises ``DemoFailed``."""
    wanted, actual = expected.audiences(as_of), fetch_members(url)
    print(f"{'':22}{'expected':>10}{'emulator':>10}")
    for name, members in wanted.items():
        print(f"{name:22}{len(members):10,}{len(actual.get(name, ())):10,}")
    if actual != wanted:
        wrong = sorted(n for n in wanted.keys() | actual.keys() if wanted.get(n) != actual.get(n))
        raise DemoFailed(f"these segments have other members than expected: {', '.join(wrong)}")
    print("All segments have exactly the expected members.")


def report_requests(url: str) -> None:
    """Print the emulator's counts. Raises ``DemoFailed`` if too many requests were in flight."""
    stats = httpx.get(f"{url}/emulator/v1/stats").raise_for_status().json()
    by_status = stats["requests"]["updateSegment"]
    in_flight = stats["max_in_flight"]["updateSegment"]
    print(
        f"The emulator answered {sum(by_status.values())} updateSegment requests, "
        f"{by_status.get('429', 0)} of them with 429, at most {in_flight} at a time, "
        f"and counted {stats['membership_changes']:,} membership changes."
    )
    if in_flight > 3:
        raise DemoFailed("more requests were in flight than the service allows")


def run(folder: Path) -> None:
    """Plan, apply and check the example in ``folder``, one month-end after the other."""
    workspace = folder / "cdnow"
    shutil.copytree(CDNOW, workspace, ignore=shutil.ignore_patterns("segctl.state*", "__pycache__"))
    with emulator(folder / "emulator.log") as url:
        for as_of in MONTH_ENDS:
            variable, file = f"as_of={as_of}", f"{as_of}.segplan"
            print_headline(f"The CDNOW customers as of {as_of}: plan, then apply the saved plan")
            run_segctl(workspace, url, "plan", "--var", variable, "--out", file)
            run_segctl(workspace, url, "apply", file)
            print_headline("Plan again: nothing should be left to do")
            if "No changes." not in run_segctl(workspace, url, "plan", "--var", variable):
                raise DemoFailed("the plan after the apply is not empty")
            print_headline("Compare the emulator's members with the audiences computed in Python")
            check_members(url, as_of)
        print_headline("Requests that the emulator received")
        report_requests(url)


def main() -> int:
    """Run the demo in a temporary folder and return the exit code."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="segctl-demo-") as folder:
        try:
            run(Path(folder))
        except DemoFailed as failure:
            print(f"\ndemo failed: {failure}", file=sys.stderr)
            return 1
    print_headline(f"Done in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
