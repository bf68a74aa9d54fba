"""Damaged data: how it is found, and the message that names the file and the way out."""

import json
import sqlite3
from array import array
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from segctl.emulator.errors import DataFormatError, EmulatorError, InvalidSettingsError
from segctl.emulator.settings import Settings

SAVED_SETTINGS = "emulator.settings.json"
WAY_OUT = "Use another data folder, or restore this one from a copy."
FULL_CHECK_BYTES = 32 << 20
"""The size up to which every value is read, and indexes are compared with their tables."""
MAX_CHECK_BYTES = 256 << 20
"""The size up to which profiles are checked: ten million of them would take seconds."""
PROFILES = "profiles"

READING_ERRORS = (
    sqlite3.Error,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RecursionError,
    MemoryError,
)
"""What reading a damaged file can raise, from SQLite down to a bitmap or a JSON document."""


def damaged(path: Path, problem: str, *, hint: str = "") -> DataFormatError:
    """Return the error for a file that is damaged. It saves the settings if it can."""
    saved = save_settings(path.parent)
    kept = "" if saved is None else f" Its settings are saved: --settings {saved}"
    return DataFormatError(
        f"{path} is damaged: {problem}", hint=" ".join(filter(None, (hint, WAY_OUT))) + kept
    )


@contextmanager
def damage_reported(
    file: Path | None, *, only: type[Exception] | tuple[type[Exception], ...] = READING_ERRORS
) -> Iterator[None]:
    """Turn what reading a damaged file raises into a DataFormatError that names the file.

    ``file`` None is data in memory, where such an error is a bug.  ``only`` are the
    errors that the file causes and not the code.
    """
    try:
        yield
    except EmulatorError:
        raise
    except sqlite3.OperationalError as error:
        if file is None:
            raise
        problem = sqlite_problem(error)
        if problem is not None:
            raise DataFormatError(f"{file}: {problem[0]}", hint=problem[1]) from error
        raise damaged(file, _text_of(error)) from error
    except only as error:
        if file is None:
            raise
        raise damaged(file, _text_of(error)) from error


def _text_of(error: Exception) -> str:
    """Return SQLite's own text; any other can quote a row, and so a user's key."""
    if getattr(error, "sqlite_errorcode", None) is None:
        return "its rows cannot be read"
    return str(error)


def sqlite_problem(error: sqlite3.Error) -> tuple[str, str] | None:
    """Return problem and hint of an error that has its cause around the file, or None."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return {
        sqlite3.SQLITE_FULL: ("the disk is full", "Free some space, and start again."),
        sqlite3.SQLITE_READONLY: (
            "the file, or its folder, cannot be written",
            "Use a data folder that this user can write to.",
        ),
        sqlite3.SQLITE_CANTOPEN: (
            "the file cannot be opened",
            "Check who may read and write it and its folder, or use another data folder.",
        ),
        sqlite3.SQLITE_IOERR: (
            "the disk reports an error",
            "Check the disk and its free space, or use another data folder.",
        ),
        sqlite3.SQLITE_BUSY: (
            "another program has locked the file",
            "Stop that program, or use another data folder.",
        ),
    }.get(code)


def check_structure(connection: sqlite3.Connection, file: Path) -> None:
    """Check the file's pages, rows and, in a small file, indexes; raises DataFormatError."""
    size = file.stat().st_size
    checks = ["quick_check(1)" if size > FULL_CHECK_BYTES else "integrity_check(1)"]
    if size > MAX_CHECK_BYTES:
        checks = [f"quick_check({table})" for table in _tables(connection) if table != PROFILES]
    for check in checks:
        (result,) = connection.execute(f"PRAGMA {check}").fetchone()
        if result != "ok":
            raise damaged(file, "SQLite finds that its pages contradict each other")


def _tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return [name for (name,) in rows if name.isidentifier()]


CONTRADICTIONS = {
    "the accounts": "SELECT 1 FROM accounts WHERE typeof(id) != 'text' OR number < 1",
    "the segments": "SELECT 1 FROM segments WHERE account NOT IN (SELECT number FROM accounts) "
    "OR typeof(name) != 'text' OR NOT (created_at BETWEEN 0 AND 253402214400)",
    "the former names": "SELECT 1 FROM former_names "
    "WHERE segment NOT IN (SELECT id FROM segments) OR typeof(name) != 'text'",
    PROFILES: "SELECT 1 FROM profiles GROUP BY account "
    "HAVING min(number) != 0 OR max(number) != count(*) - 1 "
    "OR account NOT IN (SELECT number FROM accounts)",
    "the events": "SELECT 1 FROM runs WHERE length(users) != 4 * events OR events < 1 "
    "OR action NOT IN ('ADD', 'REMOVE') OR account NOT IN (SELECT number FROM accounts) "
    "OR segment NOT IN (SELECT id FROM segments) "
    "OR typeof(ts) != 'real' OR NOT (ts BETWEEN 0 AND 253402214400)",
    "the numbers of the events": "SELECT 1 FROM (SELECT min(seq) AS first, sum(events) AS count, "
    "max(seq + events) - 1 AS last FROM runs) WHERE first != 1 OR count != last",
    "the skipped entries": "SELECT 1 FROM refusals "
    "WHERE account NOT IN (SELECT number FROM accounts) OR NOT json_valid(users) "
    "OR typeof(ts) != 'real' OR NOT (ts BETWEEN 0 AND 253402214400)",
    "the merged profiles": "SELECT 1 FROM merges WHERE NOT EXISTS (SELECT 1 FROM profiles "
    "WHERE profiles.account = merges.account AND number = merges.profile) OR NOT EXISTS "
    "(SELECT 1 FROM profiles WHERE profiles.account = merges.account AND number = survivor)",
    "the saved members": "SELECT 1 FROM members WHERE segment NOT IN (SELECT id FROM segments)",
}
"""Queries by what they check. A row that one returns contradicts others, or itself."""


def check_rows(
    connection: sqlite3.Connection,
    file: Path,
    contradictions: Mapping[str, str] = CONTRADICTIONS,
    *,
    large: Container[str] = (PROFILES,),
    check_users: Callable[[Mapping[int, int]], None] | None = None,
) -> None:
    """Check that no row contradicts another; raises DataFormatError.

    The queries named in ``large`` are left out for a large file.  In a small file, every
    value is read, and ``check_users`` gets the number of profiles of each account.
    """
    size = file.stat().st_size
    for what, query in contradictions.items():
        if what in large and size > MAX_CHECK_BYTES:
            continue
        if connection.execute(f"{query} LIMIT 1").fetchone() is not None:
            raise damaged(file, f"{what} contradict each other")
    if size <= FULL_CHECK_BYTES:
        for table in _tables(connection):
            for _ in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - its own name
                pass
        counts = dict(connection.execute("SELECT account, count(*) FROM profiles GROUP BY account"))
        if check_users is None:
            _check_users(connection, file, counts)
        else:
            check_users(counts)


def check_columns(connection: sqlite3.Connection, file: Path, schema: str) -> None:
    """Check that the file has the columns of a schema; raises DataFormatError.

    A changed byte in the text of a table leaves a table that SQLite reads differently.
    """
    with closing(sqlite3.connect(":memory:")) as expected:
        expected.executescript(schema)
        if not _columns(expected) <= _columns(connection):
            raise damaged(file, "its tables are not those of this format")


def _columns(connection: sqlite3.Connection) -> set[tuple[Any, ...]]:
    return set(
        connection.execute(
            "SELECT tables.name, columns.name, columns.type, columns.pk FROM sqlite_schema AS "
            "tables, pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
        )
    )


def _check_users(connection: sqlite3.Connection, file: Path, counts: Mapping[int, int]) -> None:
    """Check that events and saved members are those of profiles that exist."""
    for account, users in connection.execute("SELECT account, users FROM runs"):
        if max(array("I", users)) >= counts.get(account, 0):
            raise damaged(file, "it has events of users that do not exist")
    saved = connection.execute(
        "SELECT segments.account, bitmap FROM members JOIN segments ON id = segment "
        "UNION ALL SELECT account, bitmap FROM reachable"
    )
    for account, blob in saved:
        numbers = BitMap.deserialize(blob)
        if numbers and numbers.max() >= counts.get(account, 0):
            raise damaged(file, "it has members that do not exist")


def save_settings(folder: Path) -> Path | None:
    """Write the settings that can be read to a file that ``--settings`` accepts; return it."""
    address = (folder / "emulator.sqlite3").absolute().as_uri()
    # Only reads: nothing of a damaged file is changed, and no log is made next to it.
    mode = "mode=ro" if (folder / "emulator.sqlite3-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{address}?{mode}", uri=True)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'settings'").fetchone()
        if row is None:
            return None
        settings = Settings().changed(json.loads(row[0]))
        saved = folder / SAVED_SETTINGS
        saved.write_text(json.dumps(settings.document(), indent=2) + "\n", "utf-8")
    except (*READING_ERRORS, OSError, InvalidSettingsError):
        return None
    return saved
