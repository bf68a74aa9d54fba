"""The names in a workspace that a shell completes. Quick rather than exact: nothing is validated.

Raises any error of a workspace that cannot be read; the caller then completes nothing.
"""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from segctl.core.address import segment_address
from segctl.manifests.declarations import PROJECT_FILE
from segctl.manifests.name_scan import scan_segment_names
from segctl.manifests.yaml_tree import Map, Value, lookup

_HEAD = "segctl.state.json"
_SUFFIXES = (".yaml", ".yml")
_MAX_BYTES = 64 << 20
"""Of one file. A larger one takes too long."""


def declared_addresses(root: Path) -> set[str]:
    """Return the addresses that the manifests declare."""
    return {
        segment_address(name)
        for path in _manifests(root)
        if (text := _read(path))
        for name in scan_segment_names(text)
    }


def recorded_addresses(root: Path, env_name: str) -> set[str]:
    """Return the addresses in the local state. Those of a state in a bucket are not known here."""
    spec = _spec(root)
    path = lookup(spec, "environments", env_name, "state", "path") or lookup(spec, "state", "path")
    folder = root / Path(path).expanduser() if isinstance(path, str) else root
    if not (folder / _HEAD).exists():
        return set()
    return set(json.loads(_read(folder / _HEAD))["segments"])


def environment_names(root: Path) -> set[str]:
    """Return the names of the environments."""
    return _keys(lookup(_spec(root), "environments"))


def variable_names(root: Path) -> set[str]:
    """Return the names of the variables."""
    return _keys(lookup(_spec(root), "variables"))


def _spec(root: Path) -> Value:
    from segctl.manifests.yaml_reader import parse_file  # noqa: PLC0415 - addresses need none

    documents = parse_file(PROJECT_FILE, _read(root / PROJECT_FILE).encode()).documents
    return lookup(documents[0].data, "spec") if documents else None


def _keys(value: Value) -> set[str]:
    return set(value) if isinstance(value, Map) else set()


def _manifests(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name[0] != "." and name != "segctl.state.d"]
        yield from (
            Path(folder, name) for name in files if name.endswith(_SUFFIXES) and name[0] != "."
        )


def _read(path: Path) -> str:
    """Return the text of a file, empty for one that is too large, and for a pipe or a device."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
        return ""
    return path.read_text(encoding="utf-8-sig", errors="replace")
