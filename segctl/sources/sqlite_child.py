"""The process that reads SQLite files: their schemas and queries are from others, as files are."""

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
    try:
        copied = sqlite.fetch(
            from_plain(SqliteSource, request["source"]),
            Path(request["file"]),
            Path(request["into"]),
            segment_column=request["segment_column"],
        )
    except SourceError as error:
        return {"problem": [error.code, error.summary, error.detail]}
    except MemoryError:
        return {"limit": "memory"}
    except (OSError, OperationError):
        return {"limit": "scratch"}
    return {"rows": copied.rows}


if __name__ == "__main__":
    serve(_answer)
