"""Read the manifests that are named one by one, in a workspace or outside of one."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic
from segctl.manifests import manifest_files

_OURS = b"segctl"
"""Every manifest has it in its apiVersion."""


@dataclass(frozen=True, kw_only=True)
class NamedFiles:
    """The content of files by their names, as these were given, and why others are passed over."""

    contents: dict[str, bytes]
    diagnostics: tuple[Diagnostic, ...]
    passed_over: dict[str, str]


def read_named_files(root: Path, names: Iterable[str]) -> NamedFiles:
    """Read files, and the manifests below folders. Names are relative to ``root``.

    Files that are not segctl's are passed over, whatever is wrong with them.
    """
    found: dict[str, bytes] = {}
    diagnostics: list[Diagnostic] = []
    passed_over: dict[str, str] = {}
    for name in names:
        path = root / name
        if path.is_dir():
            below = manifest_files.read_manifests(path)
            diagnostics += (_below(name, problem) for problem in below.diagnostics)
            found |= {str(PurePath(name, file)): text for file, text in below.contents.items()}
        elif path.exists() and path.suffix.lower() not in manifest_files.SUFFIXES:
            passed_over[name] = "not a .yaml or .yml file"
        else:
            content = manifest_files.read_manifest(name, path)
            if isinstance(content, Diagnostic):
                diagnostics.append(content)
            else:
                found[str(PurePath(name))] = content
    contents = {}
    for name, content in found.items():
        if _OURS in content.lower():
            contents[name] = content
        else:
            passed_over[name] = "not one of segctl's documents"
    return NamedFiles(contents=contents, diagnostics=tuple(diagnostics), passed_over=passed_over)


def _below(folder: str, problem: Diagnostic) -> Diagnostic:
    """Return a problem in a folder with the name of the folder before that of the file."""
    if problem.location is None:
        return problem
    file = str(PurePath(folder, problem.location.file))
    return replace(problem, location=replace(problem.location, file=file))
