"""The main job from end to end: `make demo`.

Plans and applies the CDNOW example to an emulator, as of two month-ends, and compares
the emulator's members with a computation of their own (``cdnow/expected.py``).  Uses
segctl by its command line alone.
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
    """Something did not turn out as it should; the message says what."""


def say(text: str) -> None:
    """Print a headline."""
    print(f"\n▶ {text}", flush=True)


def free_port() -> int:
    """Give a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def emulator(log: Path) -> Iterator[str]:
    """Run ``segctl emulator`` on a free port; give its address once it answers."""
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
    """Wait until the emulator answers; raises ``DemoFailed`` where it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/emulator/v1/segments").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise DemoFailed(f"the emulator did not start: {log.read_text(encoding='utf-8')}")


def segctl(workspace: Path, url: str, *arguments: str) -> str:
    """Run a segctl command in the workspace, show it, and give what it printed."""
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


def members_held(url: str) -> dict[str, set[str]]:
    """Give the members of every segment of the emulator, by customer segment id."""
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
    """Compare the emulator's members with our own computation; raises ``DemoFailed``."""
    wanted, found = expected.audiences(as_of), members_held(url)
    print(f"{'':22}{'expected':>10}{'emulator':>10}")
    for name, members in wanted.items():
        print(f"{name:22}{len(members):10,}{len(found.get(name, ())):10,}")
    if found != wanted:
        wrong = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
        raise DemoFailed(f"the emulator's members are not the expected ones: {', '.join(wrong)}")
    print("Every member is where it should be.")


def tell_requests(url: str) -> None:
    """Say what the emulator counted; raises ``DemoFailed`` where too much was in flight."""
    stats = httpx.get(f"{url}/emulator/v1/stats").raise_for_status().json()
    answers = stats["requests"]["updateSegment"]
    at_once = stats["max_in_flight"]["updateSegment"]
    print(
        f"The emulator answered {sum(answers.values())} updateSegment requests, "
        f"{answers.get('429', 0)} of them with 429, at most {at_once} at a time, "
        f"and counted {stats['membership_changes']:,} membership changes."
    )
    if at_once > 3:
        raise DemoFailed("more requests were in flight than the service allows")


def run(folder: Path) -> None:
    """Plan, apply and check one month-end after the other, in ``folder``."""
    workspace = folder / "cdnow"
    shutil.copytree(CDNOW, workspace, ignore=shutil.ignore_patterns("segctl.state*", "__pycache__"))
    with emulator(folder / "emulator.log") as url:
        for as_of in MONTH_ENDS:
            variable, file = f"as_of={as_of}", f"{as_of}.segplan"
            say(f"The CDNOW customers as of {as_of}: plan, and apply what was planned")
            segctl(workspace, url, "plan", "--var", variable, "--out", file)
            segctl(workspace, url, "apply", file)
            say("Plan again: there should be nothing left to do")
            if "No changes." not in segctl(workspace, url, "plan", "--var", variable):
                raise DemoFailed("the plan after the apply is not empty")
            say("Compare the emulator's members with the same audiences in plain Python")
            check_members(url, as_of)
        say("What the service saw")
        tell_requests(url)


def main() -> int:
    """Run the demo in a folder of its own, which is gone afterwards; give the exit code."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="segctl-demo-") as folder:
        try:
            run(Path(folder))
        except DemoFailed as failure:
            print(f"\ndemo failed: {failure}", file=sys.stderr)
            return 1
    say(f"Done in {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
