"""A query that takes too much memory, time or disk is ended, and says so."""

import os
import signal
import threading
from pathlib import Path

import pytest

from segctl.engine import limited_process
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import RecordedFiles, SourceError
from segctl.manifests.desired import QueryLimits
from segctl.sources.path_policy import PathPolicy
from segctl.sources.query import prepare

DOUBLING = "WITH a AS (SELECT repeat('x', 100000000) AS t), " + ", ".join(
    f"{b} AS (SELECT t || t AS t FROM {a})" for a, b in zip("abcdef", "bcdefg", strict=True)
)
HOSTILE = {
    "repeat": "SELECT repeat('x', 4000000000) AS identity",
    "lpad": "SELECT lpad('x', 2000000000, 'y') || lpad('x', 2000000000, 'y') AS identity",
    "doubling": f"{DOUBLING} SELECT t AS identity FROM g",
    "lists": "SELECT list(i)::VARCHAR AS identity FROM range(400000000) t(i)",
}
ENDLESS = "SELECT i::VARCHAR AS identity FROM range(100000000000000) t(i) WHERE i % 1000003 = 1"
FILLING = (
    "SELECT a.i || '-' || b.i || repeat('x', 200) AS identity "
    "FROM range(100000) a(i), range(1000) b(i) ORDER BY hash(identity)"
)


def run(folder: Path, sql: str, **limits: float) -> int:
    """Run a query and return the number of its rows."""
    engine = DuckEngine(folder, threads=2)
    try:
        given = QueryLimits(**limits)  # type: ignore[arg-type]  # numbers by name
        query = prepare(sql, {}, PathPolicy(root=folder), engine.parse_select, limits=given)
        number = engine.load(query, targets=[0])
        engine.set_recorded(0, RecordedFiles(), wanted=True)
        return engine.diff().loads[number].rows
    finally:
        engine.close()


@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE)
def test_a_query_that_takes_too_much_memory_is_ended(sql: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        run(tmp_path, sql, memory=512_000_000, timeout_seconds=5)
    assert caught.value.code in ("query-limit", "query-failed")


def test_a_query_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="stopped after 1 s, its time limit") as caught:
        run(tmp_path, ENDLESS, timeout_seconds=1)
    assert "spec.queries.timeoutSeconds" in caught.value.detail


def test_a_query_that_fills_the_disk_is_ended(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        run(tmp_path, FILLING, memory=256_000_000, scratch=256_000_000, timeout_seconds=120)
    assert caught.value.code == "query-limit"


@pytest.mark.parametrize(
    ("sql", "limits"),
    [
        (FILLING, {"memory": 256_000_000, "timeout_seconds": 3}),
        (FILLING, {"memory": 256_000_000, "scratch": 256_000_000, "timeout_seconds": 120}),
    ],
    ids=["time", "scratch"],
)
def test_a_query_that_was_ended_leaves_no_files(
    sql: str, limits: dict[str, float], tmp_path: Path
) -> None:
    engine = DuckEngine(tmp_path, threads=2)
    given = QueryLimits(**limits)  # type: ignore[arg-type]  # numbers by name
    query = prepare(sql, {}, PathPolicy(root=tmp_path), engine.parse_select, limits=given)
    with pytest.raises(SourceError):
        engine.load(query, targets=[0])
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and f.stat().st_size > 1_000_000]
    engine.close()


def test_a_query_may_use_so_much_cpu_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the parent is stopped: only the system can end the query."""
    monkeypatch.setattr(limited_process, "monotonic", lambda: 0.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with pytest.raises(SourceError, match="it used all the CPU time that it may use"):
        run(tmp_path, ENDLESS, timeout_seconds=1)


def test_after_a_query_was_ended_others_run(tmp_path: Path) -> None:
    engine = DuckEngine(tmp_path)
    policy = PathPolicy(root=tmp_path)
    limits = QueryLimits(timeout_seconds=1)
    endless = prepare(ENDLESS, {}, policy, engine.parse_select, limits=limits)
    with pytest.raises(SourceError):
        engine.load(endless, targets=[0])
    other = prepare("SELECT 'a' AS identity", {}, policy, engine.parse_select, limits=limits)
    number = engine.load(other, targets=[0])
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    assert engine.diff().loads[number].rows == 1
    engine.close()


def test_a_signal_ends_a_query_at_once(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, ENDLESS)
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)
