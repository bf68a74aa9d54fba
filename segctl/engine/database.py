"""The DuckDB database of a run. Its engines work in it one after another.

To open a database takes 15 ms, and an apply has three engines: one plans, one sends, one records.
Each gets an empty catalogue and a connection of its own, with its own temporary tables and
variables. Nothing of an engine is left for the next, and detaching a catalogue frees its memory.
"""

from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import duckdb

DATABASE_OPTIONS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}
"""DuckDB downloads no extensions."""


class Database:
    """A database in memory, which spills to the folder ``spill``.

    ``memory`` is its limit in bytes. ``settings`` are the options that its limits are set with.
    """

    def __init__(self, spill: Path, *, threads: int | None = None, memory: int | None = None):
        self.settings: dict[str, Any] = {"temp_directory": str(spill / "spill")}
        if threads:
            self.settings["threads"] = threads
        if memory:
            self.settings["memory_limit"] = f"{memory}B"
        self.memory = memory
        self.spill = spill
        self._numbers = count()
        self._root = duckdb.connect(config={**DATABASE_OPTIONS, **self.settings})

    def close(self) -> None:
        """Close the database."""
        self._root.close()

    def open_catalog(self) -> "Catalog":
        """Return an empty catalogue with a connection to it."""
        return Catalog(self._root, f"engine_{next(self._numbers)}")


class Catalog:
    """An empty catalogue of a database. ``connection`` creates its tables there.

    A cursor of the connection can read files, but has none of its tables.
    """

    def __init__(self, root: duckdb.DuckDBPyConnection, name: str) -> None:
        self.connection = root.cursor()
        self._root = root
        self._name = name
        self.connection.execute(f"ATTACH ':memory:' AS {name}; USE {name}")
        # This setting belongs to the database, and the last engine may have changed it.
        self.connection.execute("SET preserve_insertion_order = false")

    def close(self) -> None:
        """Close the connection and drop the catalogue, which frees its memory."""
        self.connection.close()
        with suppress(duckdb.FatalException):  # after another one, nothing can be executed
            self._root.execute(f"DETACH {self._name}")
