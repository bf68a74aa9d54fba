"""Read the files that manifests name with ``sql: {file: PATH}``, as sources may read files."""

from collections.abc import Sequence
from pathlib import Path

from segctl.engine.model import SourceError
from segctl.manifests.sql_files import MAX_BYTES, UnreadableSqlFile
from segctl.sources.path_policy import PathPolicy


def read_sql_file(path: str, *, root: Path, allowed: Sequence[str], is_trusted: bool) -> bytes:
    """Return the content of a file, cut one byte after ``MAX_BYTES``.

    Relative paths start at the workspace ``root``, and ``allowed`` are the folders outside it that
    count if ``is_trusted``. Raises ``UnreadableSqlFile``.
    """
    policy = PathPolicy(root=root, allowed=tuple(allowed), is_trusted=is_trusted)
    try:
        with policy.resolve(path).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except SourceError as error:
        raise UnreadableSqlFile(error.code, error.summary, error.detail) from None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise UnreadableSqlFile(
            "unreadable-file", f"{path}: {reason}", "Check the file and its permissions."
        ) from None
