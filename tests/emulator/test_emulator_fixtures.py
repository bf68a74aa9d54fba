"""The pytest fixtures: what they return, alone and in parallel, and what they need."""

import sys
from collections.abc import Iterator
from importlib.metadata import entry_points

import httpx
import pytest

from segctl.emulator.errors import EmulatorError
from segctl.emulator.settings import Settings
from segctl.emulator.testing import RunningEmulator, running_emulator

pytest_plugins = ["pytester"]

PLUGIN = "segctl.emulator.pytest_plugin"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningEmulator]:
    """Yield one server for the tests of this module."""
    with running_emulator(accounts={"A & B": "p", "OTHER": "q"}) as emulator:
        yield emulator


@pytest.fixture
def emulator(server: RunningEmulator) -> RunningEmulator:
    """Return the emulator, empty."""
    server.restart()
    return server


def plugin() -> list[str]:
    """Return the options that load the plugin, unless an entry point of segctl does."""
    installed = any(each.value == PLUGIN for each in entry_points(group="pytest11"))
    return [] if installed else ["-p", PLUGIN]


def test_segments_are_created_and_listed(emulator: RunningEmulator) -> None:
    ids = emulator.create(*(f"s{n}" for n in range(150)))
    assert [each["ct_segment_id"] for each in emulator.segments()] == list(ids.values())
    assert emulator.stats()["requests"]["createSegment"] == {"200": 2}


def test_members_are_named_by_either_id_of_the_segment(emulator: RunningEmulator) -> None:
    emulator.seed({"gold": ["a", "b"], "empty": []})
    (gold, _) = emulator.segments()
    assert emulator.members("gold") == emulator.members(gold["ct_segment_id"]) == {"a", "b"}
    assert emulator.members("empty") == set()


def test_seeding_adds_to_what_is_there(emulator: RunningEmulator) -> None:
    emulator.seed({"gold": ["a"]})
    emulator.seed({"gold": (f"u{n}" for n in range(250))})
    assert len(emulator.members("gold")) == 251
    assert len(emulator.segments()) == 1


def test_events_are_filtered_by_segment_and_action(emulator: RunningEmulator) -> None:
    emulator.seed({"gold": ["a"], "silver": ["a", "b"]})
    assert len(emulator.events()) == 3
    assert [each["profile"]["identity"] for each in emulator.events("silver")] == ["a", "b"]
    assert emulator.events("silver", action="REMOVE") == []


def test_skipped_entries_are_an_error_and_in_the_error_stream(emulator: RunningEmulator) -> None:
    with pytest.raises(EmulatorError, match="skipped: API_SEGMENT_EMPTY_IDENTITY"):
        emulator.seed({"gold": ["a", " "]})
    (entry,) = emulator.error_stream()
    assert entry["Customer Segment ID"] == "gold"


def test_settings_and_faults_are_changed_and_read(emulator: RunningEmulator) -> None:
    assert emulator.settings(both_ids="guid")["both_ids"] == "guid"
    assert emulator.settings()["both_ids"] == "guid"
    assert emulator.faults({"fault": "server_error"}, seed=3)["seed"] == 3
    with pytest.raises(EmulatorError, match="500"):
        emulator.create("gold")
    assert emulator.faults()["rules"] == []
    emulator.restart()
    assert emulator.settings() == Settings().document()


@pytest.mark.parametrize("segment", ["nope", 7])
def test_an_unknown_segment_is_an_error_that_lists_the_others(
    emulator: RunningEmulator, segment: str | int
) -> None:
    emulator.create("gold")
    with pytest.raises(EmulatorError, match=f"no segment {segment!r}; the account has .*"):
        emulator.members(segment)


def test_campaigns_are_listed(emulator: RunningEmulator) -> None:
    assert emulator.campaigns() == []
    emulator.create("gold")
    campaign = {"name": "Mail", "kind": "offline", "channel": "email", "include": ["gold"]}
    account = str(httpx.QueryParams(account=emulator.account))
    httpx.post(
        f"{emulator.url}/emulator/v1/campaigns?{account}", json={**campaign, "when": None}
    ).raise_for_status()
    assert [each["name"] for each in emulator.campaigns()] == ["Mail"]


def test_users_may_be_a_number_for_another_writer(emulator: RunningEmulator) -> None:
    emulator.seed({"gold": ["a", "b"]})
    emulator.change_members("gold", add=3, remove=1, seed=7)
    assert len(emulator.members("gold")) == 4


def test_one_string_is_not_taken_for_a_list_of_users(emulator: RunningEmulator) -> None:
    with pytest.raises(EmulatorError, match="put it in a list"):
        emulator.seed({"gold": "ada"})
    emulator.create("gold")
    with pytest.raises(EmulatorError, match="put it in a list"):
        emulator.change_members("gold", add="ada")
    assert emulator.members("gold") == set()


def test_an_action_that_no_event_can_have_is_an_error(emulator: RunningEmulator) -> None:
    with pytest.raises(EmulatorError, match="must be ADD or REMOVE, not 'add'"):
        emulator.events(action="add")


def test_another_writer_changes_members_and_names_and_deletes(emulator: RunningEmulator) -> None:
    emulator.seed({"gold": ["a", "b"]})
    emulator.change_members("gold", add=["c"], remove=["a"])
    assert emulator.members("gold") == {"b", "c"}
    emulator.rename("gold", "New")
    emulator.delete("gold")
    (gold,) = emulator.segments()
    assert (gold["segment_name"], gold["deleted"]) == ("New", True)


def test_a_setting_that_does_not_exist_is_an_error(emulator: RunningEmulator) -> None:
    with pytest.raises(EmulatorError, match="nope: unknown setting"):
        emulator.settings(nope=1)


SUITE = """
import os
import pytest

@pytest.mark.parametrize("turn", range(4))
def test_empty(clevertap_emulator, turn):
    assert os.environ["CLEVERTAP_BASE_URL"] == clevertap_emulator.url
    assert clevertap_emulator.segments() == []
    assert clevertap_emulator.settings()["latency_ms"] == 0
    clevertap_emulator.settings(latency_ms=1)
    clevertap_emulator.seed({"gold": ["a"]})
    assert clevertap_emulator.members("gold") == {"a"}
"""


@pytest.mark.parametrize("others", [[], ["-p", "xdist", "-n", "2"]], ids=["alone", "xdist"])
def test_each_test_has_an_empty_emulator_without_other_plugins_and_in_parallel(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(SUITE)
    pytester.runpytest_subprocess("-p", PLUGIN, *others).assert_outcomes(passed=4)


def test_a_library_that_is_not_installed_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "segctl.emulator.testing")
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    pytester.makepyfile("def test_one(clevertap_emulator): pass")
    ended = pytester.runpytest_inprocess(*plugin())
    ended.assert_outcomes(errors=1)
    ended.stdout.fnmatch_lines(
        ["*the emulator needs starlette, which is not installed: pip install 'segctl?emulator?'"]
    )
