"""The log of events agrees with a plain list of them, however it is read."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.emulator.storage import event_log, tallies
from segctl.emulator.storage.database import Database
from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.event_runs import EventRun, RunFilter
from segctl.emulator.storage.state import ADD, REMOVE
from segctl.emulator.storage.tallies import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.emulator.conftest import Client, Clock

Single = tuple[int, int, int, str, bool, float, int]
"""Number, account, segment, action, changed, time and user of one event."""


def singles(runs: "Iterable[EventRun]", *, backwards: bool = False) -> list[Single]:
    """Return the events of runs one by one."""
    return [
        (seq, run.account, run.segment, run.action, run.changed, run.ts, user)
        for run in runs
        for seq, user in (
            reversed(list(enumerate(run.users, start=run.seq)))
            if backwards
            else enumerate(run.users, start=run.seq)
        )
    ]


DATABASE = Database(folder=None)
small = st.integers(1, 3)
bodies = st.lists(
    st.tuples(
        small,
        small,
        st.sampled_from([ADD, REMOVE]),
        st.booleans(),
        st.integers(0, 400).map(float),
        st.lists(st.integers(250, 260), min_size=1, max_size=9),
    ),
    max_size=40,
)
maybe_time = st.none() | st.integers(0, 400).map(float)
filters = st.builds(
    RunFilter,
    account=st.just(2),
    segments=st.none() | st.frozensets(small),
    action=st.none() | st.sampled_from([ADD, REMOVE]),
    user=st.none() | st.integers(250, 260),
    since=maybe_time,
    until=maybe_time,
    changed=st.none() | st.booleans(),
) | st.builds(RunFilter, since=maybe_time, until=maybe_time)


def log_of(entries: list[Any]) -> tuple[EventLog, list[Single]]:
    """Return a log and its events, with blocks as small as a few runs."""
    DATABASE.clear()
    log = EventLog(DATABASE.connection)
    runs: list[EventRun] = []
    for account, segment, action, changed, ts, users in entries:
        run = EventRun(
            seq=log.next_event,
            account=account,
            segment=segment,
            action=action,
            changed=changed,
            points=5 * len(users),
            ts=ts,
            users=tuple(users),
        )
        log.append([run])
        runs.append(run)
    return log, singles(runs)


def matches(event: Single, wanted: RunFilter) -> bool:
    _, account, segment, action, changed, ts, user = event
    return (
        wanted.account in {None, account}
        and (wanted.segments is None or segment in wanted.segments)
        and wanted.action in {None, action}
        and wanted.user in {None, user}
        and (wanted.since is None or ts >= wanted.since)
        and (wanted.until is None or ts <= wanted.until)
        and wanted.changed in {None, changed}
    )


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RUNS_PER_BLOCK", 3), ("EVENTS_PER_BLOCK", 12), ("RUNS_PER_STEP", 2)):
        monkeypatch.setattr(event_log, name, value)
    monkeypatch.setattr(event_log, "BLOCKS_PER_STEP", 2)
    monkeypatch.setattr(tallies, "TALLIES_PER_STEP", 2)


@settings(max_examples=50, deadline=None)
@given(bodies, filters, st.integers(1, 60))
def test_the_log_is_read_from_any_event_in_both_directions(
    entries: list[Any], wanted: RunFilter, start: int
) -> None:
    log, events = log_of(entries)
    expected = [each for each in events if matches(each, wanted)]
    pieces = log.pieces(wanted, start=start)
    assert singles(run for piece in pieces for run in piece) == [
        each for each in expected if each[0] >= start
    ]
    back = log.pieces(wanted, start=start, newest_first=True)
    assert singles((run for piece in back for run in piece), backwards=True) == [
        each for each in reversed(expected) if each[0] <= start
    ]


@settings(max_examples=50, deadline=None)
@given(bodies, filters)
def test_tallies_count_the_events_of_each_minute(entries: list[Any], wanted: RunFilter) -> None:
    log, events = log_of(entries)
    whole = RunFilter(
        account=wanted.account,
        segments=wanted.segments,
        action=wanted.action,
        changed=wanted.changed,
        since=None if wanted.since is None else wanted.since // 60 * 60,
        until=None if wanted.until is None else wanted.until // 60 * 60 + 59.9,
    )
    expected: dict[tuple[int, int, int, str], list[bool]] = {}
    for event in events:
        if matches(event, whole):
            _, account, segment, action, changed, ts, _ = event
            expected.setdefault((int(ts // 60), account, segment, action), []).append(changed)
    assert list(log.tallies(whole)) == [
        Tally(
            account=account,
            segment=segment,
            action=action,
            minute=minute,
            events=len(changes),
            changed=sum(changes),
        )
        for (minute, account, segment, action), changes in sorted(expected.items())
    ]


def test_a_filter_by_user_names_the_account() -> None:
    with pytest.raises(ValueError, match="account"):
        RunFilter(user=1)


def test_days_and_stamps_are_those_of_the_time_zone(client: "Client", clock: "Clock") -> None:
    clock.now = 1_799_965_800.0  # 2027-01-14 22:30 in UTC, the 15th in Delhi
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    for zone, stamp in (("UTC", 20270114223000), ("Asia/Kolkata", 20270115040000)):
        client.settings(time_zone=zone)
        (event,) = client.read("events")
        assert event["ts"] == stamp
        days = {"event_name": "Segment Membership Change", "from": stamp // 10**6, "to": 20270115}
        cursor = client.call("POST", "/1/events.json", json=days).json()["cursor"]
        page = client.call("GET", f"/1/events.json?cursor={cursor}").json()
        assert [each["ts"] for each in page["records"]] == [stamp]


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc", "/etc/passwd", "Europe", 7])
def test_a_time_zone_must_be_known(client: "Client", zone: object) -> None:
    answer = client.call("PUT", "/emulator/v1/settings", json={"time_zone": zone})
    assert answer.status_code == 400
    assert "time zone" in answer.json()["error"]


def test_requests_within_a_minute_are_one_apply(client: "Client", clock: "Clock") -> None:
    for agent in ("segctl/1.0 (linux)", "curl"):
        client.headers["User-Agent"] = agent
        client.create(agent)
        client.update(["a", "b"], [(agent, "ADD"), ("nowhere", "ADD")])
    clock.now += 61
    client.update(["a"], [("curl", "REMOVE")])
    assert [
        (each["number"], each["label"], each["requests"], each["events"], each["skipped"])
        for each in client.read("applies")
    ] == [(3, "curl", 1, 1, 0), (2, "curl", 2, 2, 2), (1, "segctl 1.0", 2, 2, 2)]
    assert [each["Apply"] for each in client.read("error-stream")] == [1, 1, 2, 2]
    assert [each["number"] for each in client.read("applies?before=3&limit=1")] == [2]
