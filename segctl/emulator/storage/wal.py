"""Copies SQLite's write-ahead log into the file, in a thread of its own.

SQLite would do it within a commit, and wait for the disk: 50 ms and more in which
nothing else is answered.
"""

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

ROWS_PER_COPY = 5000
"""The changed rows after which the log is copied: a few megabytes."""

MAX_LOG_PAGES = 1 << 15
"""The pages (of 4 KiB) after which the log starts again from its beginning."""


class LogCopier:
    """Decides after each commit whether the log should be copied."""

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        self._file = file
        self._connection = connection
        self._rows = connection.total_changes
        self._executor: ThreadPoolExecutor | None = None
        self._copy: Future[int] | None = None
        connection.execute("PRAGMA wal_autocheckpoint = 0")

    def committed(self) -> None:
        """Have the log copied if it has grown enough, and is not being copied."""
        if self._connection.total_changes - self._rows < ROWS_PER_COPY:
            return
        if self._copy is not None:
            if not self._copy.done():
                return
            # What fails in the thread, as on a full disk, is tried again the next time.
            if self._copy.exception() is None and self._copy.result() > MAX_LOG_PAGES:
                # Under a constant load some commit always comes between a copy and its
                # end, and the log would grow for ever.  Little is left to copy here.
                self._restart()
        self._rows = self._connection.total_changes
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log copier")
        self._copy = self._executor.submit(copy_log, self._file)

    def _restart(self) -> None:
        # Another program that reads the file is not waited for.
        self._connection.execute("PRAGMA busy_timeout = 0")
        self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        self._connection.execute("PRAGMA busy_timeout = 5000")

    def stop(self) -> None:
        """Wait for the end of the last copy."""
        if self._executor is not None:
            self._executor.shutdown()


def copy_log(file: Path) -> int:
    """Copy the log into the file; return the pages of the log, copied or not."""
    with closing(sqlite3.connect(file)) as connection:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)
