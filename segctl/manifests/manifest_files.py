"""Find and read the YAML files of a workspace. Their content is not looked at here."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location
from segctl.manifests.declarations import PROJECT_FILE
from segctl.manifests.desired import IgnoredPath
from segctl.manifests.ignore import (
    NO_RULES,
    IgnoreRules,
    ignore_hint,
    read_ignore_rules,
    resembles_manifest,
)
from segctl.manifests.yaml_reader import MAX_BYTES, too_large

SUFFIXES = (".yaml", ".yml")
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_JSON_HEAD = 1 << 16

_NO_MANIFESTS = ("segctl.state.d", "segctl.lock.yaml")
"""What segctl itself writes."""


@dataclass(frozen=True, kw_only=True)
class ManifestFiles:
    """The YAML files of a workspace, in order, by their paths relative to its root.

    ``external_links`` are symbolic links that point outside the root, with their targets. They are
    not followed. ``ignored`` are the files and folders that ``spec.ignore`` hides; they are not
    opened.
    """

    contents: Mapping[str, bytes]
    diagnostics: tuple[Diagnostic, ...]
    external_links: Mapping[str, Path]
    ignored: tuple[IgnoredPath, ...] = ()


def read_manifests(root: Path) -> ManifestFiles:
    """Read every ``*.yaml`` and ``*.yml`` below ``root``, except hidden and ignored ones."""
    contents: dict[str, bytes] = {}
    walk = _Walk(root=root)
    project = read_manifest(PROJECT_FILE, root / PROJECT_FILE)
    if isinstance(project, bytes):
        walk.rules, walk.diagnostics = read_ignore_rules(PROJECT_FILE, project)
    for file, path in walk.find_manifests():
        content = read_manifest(file, path)
        if isinstance(content, Diagnostic):
            walk.diagnostics.append(content)
        else:
            contents[file] = content
    return ManifestFiles(
        contents=contents,
        diagnostics=(*walk.diagnostics, *walk.rules.unused()),
        external_links=walk.external_links,
        ignored=tuple(walk.ignored),
    )


@dataclass(kw_only=True)
class _Walk:
    """A walk through the folders of a workspace, and what it finds apart from manifests.

    ``external_links`` are the links to targets outside the root, and ``ignored`` is what the
    ``rules`` hide.
    """

    root: Path
    rules: IgnoreRules = NO_RULES
    diagnostics: list[Diagnostic] = field(default_factory=list)
    external_links: dict[str, Path] = field(default_factory=dict)
    ignored: list[IgnoredPath] = field(default_factory=list)

    def find_manifests(self) -> Iterator[tuple[str, Path]]:
        """Yield the name and path of each manifest, folder by folder, each sorted by name."""
        inside = self.root.resolve()
        folders = [self.root]
        while folders:
            folder = folders.pop(0)
            for entry in self._visible_entries(folder):
                path = folder / entry.name
                name = shown_path(path, self.root)
                is_manifest = path.suffix.lower() in SUFFIXES
                if ignored := _match_ignored(self.rules, entry, name, is_manifest=is_manifest):
                    self.ignored.append(ignored)
                    continue
                if entry.is_file(follow_symlinks=False) and _is_json_manifest(path):
                    self.diagnostics.append(_json_manifest(name))
                if entry.is_symlink() and (is_manifest or path.is_dir()):
                    target = Path(os.path.realpath(path))
                    if not target.is_relative_to(inside):
                        self.external_links[name] = target
                        continue
                if is_manifest:
                    yield name, path
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(path)

    def _visible_entries(self, folder: Path) -> "list[os.DirEntry[str]]":
        try:
            with os.scandir(folder) as entries:
                visible = (e for e in entries if e.name[0] != "." and e.name not in _NO_MANIFESTS)
                return sorted(visible, key=lambda entry: entry.name)
        except OSError as error:
            self.diagnostics.append(_unreadable(shown_path(folder, self.root), error))
            return []


def _match_ignored(
    rules: IgnoreRules, entry: "os.DirEntry[str]", path: str, *, is_manifest: bool
) -> IgnoredPath | None:
    """Return the entry of a folder as ignored, if a rule hides it and it would be looked at.

    The Project is never ignored. A link counts as a file and as a folder: in git it is a file.
    """
    if rules is NO_RULES or path == PROJECT_FILE:
        return None
    if entry.is_dir(follow_symlinks=False):
        return rules.match(f"{path}/")
    is_link = entry.is_symlink()
    if not (is_manifest or is_link or path.lower().endswith(JSON_SUFFIXES)):
        return None
    return rules.match(path) or (rules.match(f"{path}/") if is_link else None)


def _is_json_manifest(path: Path) -> bool:
    """Whether the beginning of a JSON file has the apiVersion of a manifest."""
    if path.suffix.lower() not in JSON_SUFFIXES:
        return False
    try:
        with path.open("rb") as stream:
            return resembles_manifest(stream.read(_JSON_HEAD))
    except OSError:
        return False


def _json_manifest(file: str) -> Diagnostic:
    return Diagnostic(
        code="json-manifest",
        summary="segctl reads no manifests from .json, .jsonl and .ndjson files.",
        detail="Move its documents into a .yaml file, each after a line with ---. JSON is YAML.",
        location=Location(file=file),
    )


def shown_path(path: Path, root: Path) -> str:
    """Return a path relative to the root as valid text. Other bytes in it are escaped."""
    name = path.relative_to(root).as_posix() if path != root else str(root)
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_manifest(file: str, path: Path) -> bytes | Diagnostic:
    """Return the content of a manifest, or why it cannot be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return _not_a_file(file, status.st_mode)
        if status.st_size > MAX_BYTES:
            return too_large(file, status.st_size)
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return _unreadable(file, error)
    return too_large(file, len(content)) if len(content) > MAX_BYTES else content


def _not_a_file(file: str, mode: int) -> Diagnostic:
    what = "a folder" if stat.S_ISDIR(mode) else "a special file, such as a pipe or a device"
    return Diagnostic(
        code="not-a-file",
        summary=f"this has the name of a manifest but is {what}.",
        detail=f"Rename it, or move it out of the workspace.{ignore_hint(file)}",
        location=Location(file=file),
    )


def _unreadable(file: str, error: OSError) -> Diagnostic:
    return Diagnostic(
        code="unreadable",
        summary=f"cannot be read: {error.strerror or type(error).__name__}.",
        detail="Check that it exists and that you have permission to read it.",
        location=Location(file=file),
    )
