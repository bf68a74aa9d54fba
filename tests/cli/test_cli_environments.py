"""Environments: one set of manifests, and another account, state and values for each."""

import json
from pathlib import Path

import pytest

from segctl.emulator.testing import RunningEmulator
from segctl.state.known_states import decode
from tests.cli.conftest import PROJECT, Segctl

HEAD = "segctl.state.json"
ENVIRONMENTS = """\
spec:
  variables: {file: {default: none.csv}}
  guards: {maxDestroys: 1}
  provider: {settleSeconds: 0}
  environments:
    staging:
      state: {path: staging}
      variables: {file: staging.csv}
    production:
      state: {path: production}
      variables: {file: production.csv}
      guards: {maxRemovePercent: 10}
"""
FILLED = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: filled}
spec:
  displayName: Filled
  members:
    - file: {path: "${var.file}"}
"""


@pytest.fixture
def shop(workspace: Path) -> Path:
    (workspace / "segctl.yaml").write_text(PROJECT + ENVIRONMENTS, encoding="utf-8")
    (workspace / "filled.yaml").write_text(FILLED, encoding="utf-8")
    (workspace / "staging.csv").write_text("identity\ntester\n", encoding="utf-8")
    (workspace / "production.csv").write_text("identity\nann\nbob\n", encoding="utf-8")
    return workspace


@pytest.mark.parametrize(
    "command",
    [
        ["plan"],
        ["apply", "--auto-approve"],
        ["state", "list"],
        ["import", "gold"],
        ["rejects", "list"],
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_command_that_needs_an_environment_says_so(command: list[str], segctl: Segctl) -> None:
    done = segctl(*command)
    assert (done.code, done.out) == (1, "")
    assert "segctl.yaml has environments (production, staging), and none is chosen" in done.err
    assert "Choose one with -e NAME, or with SEGCTL_ENV." in done.err
    done = segctl(*command, "-e", "prodution")
    assert done.code == 1
    assert 'there is no environment "prodution"' in done.err
    assert 'Did you mean "production"?' in done.err


def test_each_environment_has_its_own_state_and_values(
    shop: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = segctl("plan", "-e", "production")
    assert done.code == 0
    assert "Plan for production: 3 to add" in done.out
    assert "Made for environment production" in done.out
    assert "5 to add" in done.out
    monkeypatch.setenv("SEGCTL_ENV", "staging")
    assert "4 to add" in segctl("plan").out
    made = json.loads(segctl("plan", "--format", "json").out)["made"]
    assert (made["environment"], made["variables"]) == ("staging", {"file": "staging.csv"})
    assert "5 to add" in segctl("plan", "-e", "production").out
    assert not (shop / HEAD).exists()


def test_an_apply_says_where_and_names_each_state(
    shop: Path, segctl: Segctl, emulator: RunningEmulator
) -> None:
    assert emulator.url
    done = segctl("apply", "--auto-approve", "-e", "staging")
    assert done.code == 0
    assert "acknowledged in staging in" in done.out
    assert segctl("state", "list", "-e", "staging").out.count("segment.") == 3
    assert segctl("state", "list", "-e", "production").out == ""
    assert segctl("import", "gold", "-e", "production").code == 0
    known = decode((shop / "segctl.lock.yaml").read_bytes())
    assert {name: state.backend for name, state in known.items()} == {
        "production": "local:production",
        "staging": "local:staging",
    }
    (shop / "production" / HEAD).unlink()
    assert segctl("plan", "-e", "staging").code == 0
    assert segctl("plan", "-e", "production").code == 1


@pytest.mark.parametrize(
    ("common", "own"),
    [
        ("region: in1", 'baseUrl: "http://127.0.0.1:9"'),
        ('baseUrl: "http://127.0.0.1:9"', "region: us1"),
    ],
)
def test_an_environment_names_its_service_in_either_way(
    common: str, own: str, shop: Path, segctl: Segctl
) -> None:
    project = shop / "segctl.yaml"
    text = project.read_text().replace("{settleSeconds: 0}", f"{{{common}, settleSeconds: 0}}")
    project.write_text(text.replace("    staging:\n", f"    staging:\n      provider: {{{own}}}\n"))
    assert segctl("validate").code == 0
    made = json.loads(segctl("plan", "--format", "json", "-e", "staging").out)["made"]
    assert made["host"] == ("127.0.0.1:9" if "baseUrl" in own else "us1.api.clevertap.com")


@pytest.mark.usefixtures("emulator")
def test_an_environment_with_another_name_is_noticed(shop: Path, segctl: Segctl) -> None:
    assert segctl("apply", "--auto-approve", "-e", "staging").code == 0
    project = shop / "segctl.yaml"
    project.write_text(
        project.read_text().replace("staging:", "test:").replace("path: staging", "path: t")
    )
    done = segctl("plan", "-e", "test")
    assert done.code == 1
    assert "names one of staging, which segctl.yaml does not have" in done.err
    project.write_text(project.read_text().replace("path: t}", "path: staging}"))
    assert segctl("plan", "-e", "test").code == 0


@pytest.mark.usefixtures("emulator")
def test_a_state_of_another_environment_is_refused(shop: Path, segctl: Segctl) -> None:
    assert segctl("apply", "--auto-approve", "-e", "staging").code == 0
    (shop / "production").symlink_to("staging")
    done = segctl("plan", "-e", "production")
    assert done.code == 1
    assert "is the one of staging: segctl.lock.yaml names it there" in done.err


def test_a_saved_plan_goes_where_it_was_made_for(
    shop: Path, segctl: Segctl, emulator: RunningEmulator
) -> None:
    assert emulator.url
    assert segctl("plan", "-e", "staging", "--out", "a.segplan").code == 0
    done = segctl("apply", "a.segplan", "-e", "production")
    assert done.code == 4
    assert "the plan was made for staging, and this is production" in done.err
    done = segctl("apply", "a.segplan")
    assert done.code == 0
    assert "Plan for staging" in done.out
    assert (shop / "staging" / HEAD).exists()


def test_equal_plans_of_two_environments_have_other_digests(shop: Path, segctl: Segctl) -> None:
    (shop / "staging.csv").write_bytes((shop / "production.csv").read_bytes())
    digests = {
        json.loads(segctl("plan", "--format", "json", "-e", name).out)["digest"]
        for name in ("staging", "production")
    }
    assert len(digests) == 2


def test_validate_checks_every_environment(shop: Path, segctl: Segctl) -> None:
    assert segctl("validate").code == 0
    project = shop / "segctl.yaml"
    text = project.read_text()
    project.write_text(text.replace("variables: {file: staging.csv}", "variables: {fil: x}"))
    done = segctl("validate")
    assert done.code == 1
    assert "fil" in done.err
    assert segctl("validate", "-e", "production").code == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("state: {path: staging}", "state: {path: production}", "have the same state"),
        ("state: {path: staging}", "state: {path: ./x/../production/}", "have the same state"),
        ("state: {path: staging}", "state: {path: '${var.file}'}", "cannot have a variable"),
        ("    production:\n", "    default:\n", 'an environment cannot be called "default"'),
        ("      state: {path: staging}\n", "", ""),
        ("guards: {maxRemovePercent: 10}", "guards: {maxRemovePercent: 200}", "maxRemovePercent"),
        ("guards: {maxRemovePercent: 10}", "guard: {}", 'unknown field "guard"'),
        ("    production:\n", "    Prod uction:\n", "Prod uction"),
    ],
)
def test_a_mistake_in_an_environment_is_an_error(
    old: str, new: str, said: str, shop: Path, segctl: Segctl
) -> None:
    project = shop / "segctl.yaml"
    project.write_text(project.read_text().replace(old, new))
    done = segctl("validate")
    assert (done.code == 1) == bool(said)
    assert said in done.err


@pytest.mark.usefixtures("workspace")
def test_without_environments_none_can_be_chosen(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["plan"], ["state", "list"]):
        done = segctl(*command, "-e", "staging")
        assert done.code == 1
        assert 'there is no environment "staging": segctl.yaml has no environments' in done.err
    monkeypatch.setenv("SEGCTL_ENV", "")
    done = segctl("plan")
    assert done.code == 64
    assert "SEGCTL_ENV is empty" in done.err
