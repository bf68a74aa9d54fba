"""A signal interrupts a query of a manifest at any time."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import CheckedQuery

ENDLESS = "select i::varchar as identity from range(1000000000000) t(i) where i % 1000003 = 1"


def test_a_signal_interrupts_a_query_that_is_being_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = ThreadPoolExecutor.submit

    def interrupted(*arguments: Any) -> Future[Any]:
        submit(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    engine = DuckEngine(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        engine.load(CheckedQuery(sql=ENDLESS, parameters={}, files=()), targets=[0])
    engine.close()
