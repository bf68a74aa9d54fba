"""The process that reads SQLite files: their schemas and queries are from others, as files are."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segctl.core.codec import from_plain
from segctl.core.errors import OperationError
from segctl.engine.limited_child import serve
from segctl.engine.model import SourceError
from segctl.manifests.desired import SqliteSource
from segctl.sources import sqlite


def _answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
    source, file = from_plain(SqliteSource, request["source"]), Path(request["file"])
    column = request["segment_column"]
    try:
        if request["only_check"]:
            sqlite.check(source, file, segment_column=column)
            return {"rows": 0}
        copied = sqlite.fetch(source, file, Path(request["into"]), segment_column=column)
    except SourceError as error:
        return {"problem": [error.code, error.summary, error.detail]}
    except MemoryError:
        return {"limit": "memory"}
    except (OSError, OperationError) as error:
        return _explain(error)
    return {"rows": copied.rows}


def _explain(error: OSError | OperationError) -> Mapping[str, Any]:
    """Return the answer for a file that cannot be read, or a result that cannot be written."""
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.errno == errno.EFBIG:
        return {"limit": "scratch"}
    if isinstance(error, OperationError):
        return {"problem": ["unreadable-file", error.message, error.hint]}
    reason = (error.strerror or "it cannot be read").lower()
    return {"problem": ["unreadable-file", reason, "Check the file and the disk."]}


if __name__ == "__main__":
    serve(_answer)
