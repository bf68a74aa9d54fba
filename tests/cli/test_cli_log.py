"""The log: ``SEGCTL_LOG``, ``--log-level`` and ``--log-format``."""

import json
import logging
import re

import pytest

from segctl.cli.log import LogSetting, log_object, parse_log_setting
from segctl.core.errors import WrongUsage
from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import Segctl

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.mark.parametrize(
    ("value", "setting"),
    [
        ("", LogSetting()),
        ("debug", LogSetting(level="debug")),
        ("json", LogSetting(log_format="json")),
        ("JSON, Info", LogSetting(level="info", log_format="json")),
        ("off", LogSetting(level="off")),
    ],
)
def test_the_variable_holds_a_level_a_format_or_both(value: str, setting: LogSetting) -> None:
    assert parse_log_setting(value) == setting


@pytest.mark.parametrize("value", ["loud", "debug,info", "json,json", "debug json", "1"])
def test_anything_else_is_wrong_usage(value: str) -> None:
    with pytest.raises(WrongUsage, match="SEGCTL_LOG is") as raised:
        parse_log_setting(value)
    assert "debug, info, warning, error, off" in raised.value.hint


def test_a_bad_variable_ends_the_command_with_usage(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGCTL_LOG", "loud")
    done = segctl("plan", "--json")
    assert done.code == 64
    assert "SEGCTL_LOG is 'loud'" in done.err
    assert json.loads(done.out)["diagnostics"][0]["code"] == "wrong-usage"


def test_json_lines_have_the_time_level_logger_message_and_fields(
    segctl: Segctl, emulator: RunningEmulator
) -> None:
    del emulator
    done = segctl("apply", "--auto-approve", "--log-level", "debug", "--log-format", "json")
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    for line in lines:
        assert set(line) == {"timestamp", "level", "logger", "message", "fields"}
        assert re.fullmatch(TIME, line["timestamp"])
    fields = {line["fields"].get("event"): line["fields"] for line in lines}
    assert fields["apply_complete"]["changes"] == 3
    assert fields["batch_complete"]["call"] == "updateSegment"


def test_the_log_has_no_user_key_and_no_credential(
    segctl: Segctl, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGCTL_LOG", "debug,json")
    wrong = "a-passcode-that-is-wrong"
    monkeypatch.setenv("CLEVERTAP_PASSCODE", wrong)
    refused = segctl("apply", "--auto-approve")
    monkeypatch.setenv("CLEVERTAP_PASSCODE", emulator.passcode)
    done = segctl("apply", "--auto-approve")
    assert (refused.code, done.code) == (1, 0)
    log = "\n".join(line for line in (refused.err + done.err).splitlines() if line[:1] == "{")
    assert len(log.splitlines()) > 20
    for secret in ("anna@", "bert@", "abcde12345", wrong):
        assert secret not in log


def test_options_win_over_the_variable(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCTL_LOG", "debug,json")
    done = segctl("version", "--log-format", "text")
    assert re.search(r"DEBUG segctl\.cli\.common: version", done.err)
    assert segctl("version", "--log-level", "warning").err == ""


def test_the_log_can_be_off(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCTL_LOG", "off")
    segctl("version")
    assert not logging.getLogger("segctl.x").isEnabledFor(logging.CRITICAL)


def test_an_exception_is_logged_by_its_type_alone() -> None:
    error = ValueError("anna@example.com")
    cause = (ValueError, error, None)
    record = logging.LogRecord("a", logging.ERROR, "", 1, "It failed.", (), cause)
    assert log_object(record)["fields"] == {"exception": "ValueError"}
    assert "anna" not in str(log_object(record))


def test_a_line_break_stays_within_its_line() -> None:
    record = logging.LogRecord("a", logging.ERROR, "", 1, "a\n::error::b", (), None)
    assert "\n" not in json.dumps(log_object(record))
