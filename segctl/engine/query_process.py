"""Run the queries of manifests in a limited child process."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from segctl.engine.limited_process import LimitedProcess, out_of_memory, out_of_scratch
from segctl.engine.model import CheckedQuery, SourceError
from segctl.engine.sql import escape_glob

_DESCRIBED_FILES = 5
"""How many files of a query are looked at to list their columns."""

_DISK_MARKS = ("max_temp_directory_size", "failed to offload", "File too large")
"""What DuckDB says where its temporary files reach their limit."""


class QueryProcess:
    """One child process for all queries of a run. It starts with the first query.

    ``spill`` is the child's own folder for what does not fit in memory.
    """

    def __init__(self, spill: Path, config: Mapping[str, Any]) -> None:
        self._spill = spill
        self._config = dict(config)
        self._child = LimitedProcess("segctl.engine.query_child", spill)

    def run(
        self,
        query: CheckedQuery,
        *,
        allowed: list[str],
        headers: Mapping[Path, Sequence[str]],
        result: Path,
        memory: int | None,
        only_describe: bool = False,
    ) -> None:
        """Run a query and write its result as Parquet, or with ``only_describe`` check its columns.

        ``headers`` are the columns of its CSV files, where they are known. Raises ``SourceError``
        for a query that exceeds a limit, and what DuckDB raises.
        """
        limits = query.limits
        if memory:
            limits = replace(limits, memory=min(limits.memory, memory))
        request = {
            "sql": query.sql,
            "parameters": dict(query.parameters),
            "result": str(result),
            "only_describe": only_describe,
            "allowed": allowed,
            "headers": {str(path): list(names) for path, names in headers.items()},
            "described": [
                escape_glob(file) for file in query.files[:_DESCRIBED_FILES] if file not in headers
            ],
            "time_zone": query.time_zone,
            "segment_column": query.segment_column,
            "uncertain_types": sorted(query.uncertain_types),
            "config": {
                **self._config,
                "memory_limit": f"{limits.memory}B",
                "temp_directory": str(self._spill),
                "max_temp_directory_size": f"{limits.scratch}B",
            },
        }
        _raise_error(self._child.request(request, limits=limits, result=result), limits.memory)

    def close(self) -> None:
        """End the child process."""
        self._child.close()


def _raise_error(answer: Mapping[str, Any], memory: int) -> None:
    if problem := answer.get("problem"):
        error = SourceError(*problem)
        error.file = Path(answer["file"]) if answer["file"] else None
        if position := answer.get("position"):
            error.query_position = (position[0], position[1])
        raise error
    if name := answer.get("error"):
        message = str(answer["message"])
        if any(mark in message for mark in _DISK_MARKS):
            raise out_of_scratch()
        if name == "OutOfMemoryException":
            raise out_of_memory(memory)
        raise getattr(duckdb, name, duckdb.Error)(message)
