"""Read PostgreSQL sources with an engine in tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segctl.core.diagnostics import Location
from segctl.core.identity import Kind
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import LoadStats, RecordedFiles, SourceError
from segctl.manifests.desired import PostgresSource
from segctl.sources.postgres import Database, fetch
from tests.sources.postgres_kit import Server

HERE = Location(file="gold.yaml", line=7)


class Reader:
    """Fetches from one server into one engine, once."""

    def __init__(self, server: Server, scratch: Path) -> None:
        self.server = server
        self.file = scratch / "rows.copy"
        self.engine = DuckEngine(scratch, threads=1)

    def database(self, name: str = "postgres", **changes: Any) -> Database:
        """Return the server's database as a connection would declare it."""
        database = Database(
            name="warehouse",
            variable="WAREHOUSE_URL",
            timeout_seconds=20.0,
            url=self.server.url(name),
        )
        return replace(database, **changes)

    def read(
        self,
        source: PostgresSource,
        *,
        segment_column: str | None = None,
        database: str = "postgres",
    ) -> tuple[LoadStats, list[tuple[Kind, str]]]:
        """Return the counts of a source's rows, and its first members."""
        rows = fetch(source, self.database(database), self.file, segment_column=segment_column)
        targets = {"gold": 0} if segment_column else [0]
        number = self.engine.load(rows, targets=targets)
        self.engine.set_recorded(0, RecordedFiles(), wanted=True)
        diff = self.engine.diff()
        return diff.loads[number], list(diff.targets[0].sample.add)

    def error(
        self, source: PostgresSource, *, segment_column: str | None = None, **changes: Any
    ) -> str:
        """Return the message of the error that a source raises."""
        with pytest.raises(SourceError) as caught:
            fetch(source, self.database(**changes), self.file, segment_column=segment_column)
        assert caught.value.__cause__ is None
        return f"{caught.value.code}: {caught.value.summary}. {caught.value.detail}"


def query(sql: str, **parameters: str) -> PostgresSource:
    """Return a source that is a SELECT."""
    return PostgresSource(connection="warehouse", sql=sql, parameters=parameters, location=HERE)


def table(name: str, column: str, kind: Kind = Kind.IDENTITY) -> PostgresSource:
    """Return a source that is a column of a table."""
    return PostgresSource(
        connection="warehouse", table=name, column=column, kind=kind, location=HERE
    )


def identities(*values: str) -> list[tuple[Kind, str]]:
    """Return members as an engine does."""
    return [(Kind.IDENTITY, value) for value in values]
