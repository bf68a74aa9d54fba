"""What a slip of the hand must not do: an unset shell variable, a wrong name, a wrong folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Segctl = Callable[..., Any]


@pytest.mark.usefixtures("emulator")
def test_an_empty_plan_name_applies_nothing(segctl: Segctl, workspace: Path) -> None:
    done = segctl("apply", "")
    assert done.code == 64
    assert "'[FILE]': it is empty; is a variable of the shell not set?" in done.err
    assert not (workspace / "segctl.state.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [("show", ""), ("plan", "--out", ""), ("plan", "--target", ""), ("apply", "--target", "")],
)
def test_an_empty_name_is_wrong_usage(segctl: Segctl, arguments: tuple[str, ...]) -> None:
    done = segctl(*arguments)
    assert done.code == 64
    assert "it is empty" in done.err


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("name", ["segctl.state.json", "segctl.yaml", "gold.yaml"])
def test_a_plan_is_not_saved_over_a_file_of_the_workspace(
    segctl: Segctl, workspace: Path, name: str
) -> None:
    assert segctl("apply", "--auto-approve").code == 0
    before = (workspace / name).read_bytes()
    done = segctl("plan", "--out", name)
    assert done.code == 1
    assert f"{name} is there already and is no plan file" in done.err
    assert (workspace / name).read_bytes() == before


def test_a_plan_is_not_saved_in_the_place_of_the_workspace(segctl: Segctl) -> None:
    done = segctl("plan", "--out", ".")
    assert done.code == 1
    assert "Is a directory\n  A folder stands where a file should be.\n" in done.err


def test_a_mistake_of_the_user_shows_no_traceback_at_any_log_level(segctl: Segctl) -> None:
    done = segctl("apply", "missing.plan", "--log-level", "debug")
    assert (done.code, "Traceback" in done.err) == (1, False)


def test_destroy_that_cannot_ask_says_how_to_review_it(segctl: Segctl) -> None:
    done = segctl("destroy")
    assert done.code == 64
    assert "Review with `segctl plan --destroy --out FILE`" in done.err


def test_a_command_stream_is_json_alone_when_the_plan_is_missing(segctl: Segctl) -> None:
    done = segctl("apply", "missing.plan", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["type"] for line in lines] == ["version", "diagnostic"]
