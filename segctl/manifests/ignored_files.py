"""Look for manifests among the files that ``spec.ignore`` hides, once a plan would remove segments.

No other command opens these files. A pattern that hides a manifest by mistake would empty its
segment, so a plan that removes one looks whether that is the reason.
"""

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from segctl.core.address import segment_address
from segctl.manifests.declarations import find_segments
from segctl.manifests.desired import IgnoredPath
from segctl.manifests.ignore import resembles_manifest
from segctl.manifests.manifest_files import JSON_SUFFIXES, SUFFIXES, shown_path
from segctl.manifests.yaml_reader import MAX_BYTES, parse_file
from segctl.manifests.yaml_tree import Map

_NAME = re.compile(rb"""\bname["']?\s*:\s*["']?([\w.-]+)""")


def find_ignored_manifests(
    root: Path, ignored: Sequence[IgnoredPath], addresses: Collection[str]
) -> Mapping[str, IgnoredPath]:
    """Return the ignored file that declares each of these segments, by address, if one does.

    In a file that is no valid YAML, such as a template, each name counts. A file that cannot be
    read, and a link that leads outside the workspace, declares nothing.
    """
    found: dict[str, IgnoredPath] = {}
    for entry in ignored:
        for path in _walk(root, _locate(root, entry.path)):
            declared = _declared_segments(path) if len(found) < len(addresses) else ()
            for address in declared:
                if address in addresses:
                    file = shown_path(path, root)
                    found.setdefault(address, IgnoredPath(path=file, pattern=entry.pattern))
    return found


def _locate(root: Path, shown: str) -> Path:
    """Return the path that ``shown_path`` shows so. Bytes that are no text are escaped in it."""
    path = root
    for part in PurePosixPath(shown).parts:
        entries = () if os.path.lexists(path / part) else _entries(path)
        path = next((e for e in entries if shown_path(e, path) == part), path / part)
    return path


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [Path(entry) for entry in os.scandir(folder)]
    return []


def _walk(root: Path, path: Path) -> Iterator[Path]:
    """Yield the YAML and JSON files at or below a path that are within the root."""
    inside = root.resolve()
    paths = [path]
    while paths:
        current = paths.pop()
        with suppress(OSError, RuntimeError):
            if not current.resolve().is_relative_to(inside):
                continue
            mode = current.stat().st_mode
            if stat.S_ISREG(mode) and current.suffix.lower() in (*SUFFIXES, *JSON_SUFFIXES):
                yield current
            elif stat.S_ISDIR(mode) and not current.is_symlink():
                paths += sorted(_entries(current), reverse=True)


def _declared_segments(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES)
    except OSError:
        return []
    if not resembles_manifest(content):
        return []
    parsed = parse_file(path.name, content)
    if parsed.diagnostics:
        return [segment_address(name.decode()) for name in _NAME.findall(content)]
    documents = [d for d in parsed.documents if isinstance(d.data, Map)]
    return [segment_address(segment.name) for segment in find_segments(documents)]
