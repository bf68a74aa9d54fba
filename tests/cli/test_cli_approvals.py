"""Approvals on the command line: what is printed, and what is wrong usage."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import PROJECT, Segctl

FROM_FILE = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}
spec:
  displayName: Gold Users
  members: [{file: {path: gold.csv}}]
"""
TOLERANT = PROJECT + "spec: {approval: {toleranceMembers: 2}}\n"

pytestmark = pytest.mark.usefixtures("emulator")

Fill = Callable[[int], None]


@pytest.fixture
def fill(workspace: Path) -> Fill:
    (workspace / "segctl.yaml").write_text(TOLERANT)
    (workspace / "gold.yaml").write_text(FROM_FILE)

    def write(count: int) -> None:
        lines = ["identity", *(f"u{number}@example.com" for number in range(count))]
        (workspace / "gold.csv").write_text("\n".join(lines) + "\n")

    return write


def keep(segctl: Segctl) -> str:
    done = segctl("plan", "--save")
    assert done.code == 0, done.err
    [digest] = set(re.findall(r"sha256:[0-9a-f]{64}", done.out))
    return str(digest)


def test_a_saved_plan_prints_its_digest_and_how_to_apply_it(segctl: Segctl, fill: Fill) -> None:
    fill(10)
    done = segctl("plan", "--save")
    digest = json.loads(segctl("plan", "--format", "json").out)["digest"]
    assert done.out.endswith(
        "\nKept with the state for 30 days. To apply exactly this plan, or what is left of it:\n"
        f"  segctl apply {digest}\n"
        f"  segctl apply --approved {digest}\n"
    )
    assert "Kept" not in segctl("plan", "--save", "--format", "json").out


def test_what_fell_away_and_what_is_tolerated_is_said(segctl: Segctl, fill: Fill) -> None:
    fill(10)
    digest = keep(segctl)
    fill(8)
    done = segctl("apply", "--approved", digest)
    assert done.code == 0
    assert done.err.startswith(
        f"Today's plan is a part of what was approved ({digest}).\n"
        "  segment.gold: 2 of 10 to add are no longer needed\n"
    )
    fill(9)
    digest = keep(segctl)
    fill(11)
    assert "2 to add beyond the approved 1 (within the tolerance of 2)" in (
        segctl("apply", "--approved", digest).err
    )


def test_what_goes_beyond_is_counted_for_each_segment(
    segctl: Segctl, fill: Fill, workspace: Path
) -> None:
    fill(10)
    digest = keep(segctl)
    fill(13)
    (workspace / "more.yaml").write_text(FROM_FILE.replace("gold}", "more}").replace("Gold", "M"))
    done = segctl("apply", "--approved", digest)
    assert done.code == 4
    assert done.err == (
        "Today's plan is more than what was approved:\n"
        "  segment.gold: 3 to add beyond the approved 10 (2 tolerated)\n"
        "  segment.more: it would be created, which was not approved; 13 to add beyond the "
        "approved 0 (none tolerated: the approved plan does not have it)\n"
        f"Error: today's plan is more than the approved plan {digest}: 2 segments changed beyond "
        "it\n  Nothing was sent. Plan again, and have the new plan approved.\n"
    )


def test_the_stream_has_the_comparison(segctl: Segctl, fill: Fill) -> None:
    fill(10)
    digest = keep(segctl)
    fill(13)
    lines = segctl("apply", "--approved", digest, "--json").out.splitlines()
    [checked] = [line for line in map(json.loads, lines) if line["type"] == "approval_checked"]
    [found] = checked["approval"]["segments"]
    assert found["add"] == {
        "approved": 10,
        "sent": 13,
        "beyond": 3,
        "earlier": 0,
        "dropped": 0,
    }


def test_a_kept_plan_is_shown_by_its_digest(segctl: Segctl, fill: Fill) -> None:
    fill(10)
    digest = keep(segctl)
    fill(20)
    assert "10 to add" in segctl("show", digest).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("apply", "sha256:12ab"), "64 hexadecimal digits; this has 4 characters"),
        (("apply", "--approved", "sha256:"), "64 hexadecimal digits; this has 0 characters"),
        (("apply", "--approved", ""), "it is empty"),
        (("show", "sha256:" + "G" * 64), "64 hexadecimal digits"),
        (("apply", "plan.segplan", "--approved", "x.segplan"), "Leave FILE or --approved out"),
        (("apply", "--approved", "x", "--target", "gold"), "leave --target and --exclude out"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    segctl: Segctl, fill: Fill, arguments: tuple[str, ...], message: str
) -> None:
    fill(1)
    done = segctl(*arguments)
    assert (done.code, done.out) == (64, "")
    assert message in done.err


def test_a_refused_plan_is_not_kept(segctl: Segctl, fill: Fill, workspace: Path) -> None:
    fill(20)
    segctl("apply", "--auto-approve")
    fill(2)
    done = segctl("plan", "--save")
    assert done.code == 6
    assert "The plan is not kept: it is refused" in done.err
    assert list((workspace / "segctl.state.d" / "plans").iterdir()) == []


def test_a_plan_says_what_its_approval_tolerates(
    segctl: Segctl, fill: Fill, workspace: Path
) -> None:
    fill(10)
    (workspace / "segctl.yaml").write_text(
        PROJECT + "spec: {approval: {tolerancePercent: 5, toleranceMembers: 100}}\n"
    )
    line = (
        "If this is approved, each segment may gain and lose 5% of its members and at most 100 "
        "members beyond it."
    )
    for view in ("text", "html"):
        assert line in segctl("plan", "--format", view).out
    assert "5% of its members and at most 100" in segctl("plan", "--format", "markdown").out
    limits = json.loads(segctl("plan", "--format", "json").out)["limits"]
    assert limits["tolerance"] == {"percent": 5.0, "members": 100}


def test_a_refused_plan_says_nothing_of_a_tolerance(segctl: Segctl, fill: Fill) -> None:
    fill(20)
    segctl("apply", "--auto-approve")
    fill(2)
    assert "If this is approved" not in segctl("plan").out
