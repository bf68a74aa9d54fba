"""The floors as far as import-linter cannot see them: outside libraries and built-ins."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "segctl"

PURE = ("manifests", "state", "plan", "packing", "checking", "render")
"""Folders of values in and values out, but for the modules in ``MAY_TOUCH``."""

MAY_TOUCH = {
    "core": (
        "clock.py",
        "connections.py",
        "disk.py",
        "git.py",
        "output_file.py",
        "resources.py",
        "scratch.py",
        "stop_signal.py",
    ),
    "manifests": ("ignored_files.py", "manifest_files.py", "named_files.py", "workspace.py"),
    "plan": ("file.py",),
}
"""By folder, the modules that may reach for files, a clock, chance or the environment."""

ARCHITECTURE = (Path(__file__).parents[2] / "docs/architecture.md").read_text(encoding="utf-8")


def documented_libraries() -> dict[str, tuple[str, ...]]:
    """Return for each library of the table in docs/architecture.md where it may be imported."""
    rows = re.search(r"^\| outside library.*\n\| --- .*\n((?:\|.*\n)+)", ARCHITECTURE, re.MULTILINE)
    assert rows
    found: dict[str, tuple[str, ...]] = {}
    for row in rows[1].splitlines():
        libraries, places = (re.findall(r"`([^`]+)`", cell) for cell in row.split("|")[1:3])
        found |= dict.fromkeys(libraries, tuple(places))
    return found


LIBRARIES = documented_libraries()

OUTSIDE_WORLD = frozenset(
    "asyncio http io multiprocessing os random secrets shutil socket sqlite3 subprocess "
    "tempfile threading time urllib uuid".split()
)
"""Standard modules by which a file, a clock, chance or the environment comes in."""

FILE_METHODS = frozenset(
    "open read_bytes read_text write_bytes write_text mkdir unlink rename touch exists is_file "
    "is_dir iterdir glob rglob stat resolve".split()
)


def python_files(*parts: str) -> list[Path]:
    """Give the modules under these files and folders of the package; they must be there."""
    files: list[Path] = []
    for part in parts:
        path = PACKAGE / part
        found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        assert found, f"segctl/{part} holds no module"
        files += found
    return files


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Give the modules that a module imports, anywhere in it, with their lines."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def imported_roots(path: Path) -> Iterator[tuple[int, str]]:
    for line, module in imported(path):
        yield line, module.partition(".")[0]


def touches_of_the_world(path: Path) -> Iterator[str]:
    """Name what in a module reaches for files, clock, chance, environment or the screen."""
    for line, module in imported(path):
        if module.partition(".")[0] in OUTSIDE_WORLD and module != "urllib.parse":
            yield f"{relative(path)}:{line}: import {module}"
    for node in nodes(path):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name(id="open" | "input" | "print" as name):
                yield f"{relative(path)}:{node.lineno}: {name}()"
            case ast.Attribute(attr="now" | "utcnow" | "today" as name, value=ast.Name(id=of)) if (
                of in {"datetime", "date"}
            ):
                yield f"{relative(path)}:{node.lineno}: {of}.{name}()"
            case ast.Attribute(attr=name) if name in FILE_METHODS:
                yield f"{relative(path)}:{node.lineno}: .{name}()"


def pure_files() -> list[Path]:
    """Return the modules that must be pure."""
    return [
        path
        for folder in {*PURE, *MAY_TOUCH}
        for path in python_files(folder)
        if path.relative_to(PACKAGE / folder).as_posix() not in MAY_TOUCH.get(folder, ())
    ]


@pytest.mark.parametrize("path", sorted(pure_files()), ids=relative)
def test_a_pure_module_reaches_for_no_file_clock_chance_or_environment(path: Path) -> None:
    assert list(touches_of_the_world(path)) == []


@pytest.mark.parametrize("path", python_files("core"), ids=relative)
def test_core_needs_the_standard_library_alone(path: Path) -> None:
    roots = {root for _, root in imported_roots(path)}
    assert roots <= sys.stdlib_module_names | {"segctl"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_outside_library_is_imported_where_the_table_says(library: str) -> None:
    importing = {
        relative(path)
        for path in python_files(".")
        if library in {root for _, root in imported_roots(path)}
    }
    places = LIBRARIES[library]
    assert [path for path in sorted(importing) if not path.startswith(places)] == []
    assert [place for place in places if not any(p.startswith(place) for p in importing)] == []


def test_the_table_names_every_outside_library() -> None:
    used = {root for path in python_files(".") for _, root in imported_roots(path)}
    assert used - sys.stdlib_module_names - {"segctl"} == set(LIBRARIES)


def test_the_drawings_name_every_folder_and_only_files_that_exist() -> None:
    folders = {f"{p.name}/" for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert len(folders) == 20
    drawing = ARCHITECTURE[ARCHITECTURE.index("segctl/\n├──") :].partition("```")[0]
    assert set(re.findall(r"\b[a-z]+/", drawing)) - {"segctl/"} == folders
    named = re.findall(r"\b[a-z]+/[a-z_]+\.py\b", ARCHITECTURE)
    assert len(named) > 20
    assert [name for name in named if not (PACKAGE / name).is_file()] == []


def test_the_check_sees_what_a_pure_module_must_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    module = tmp_path / "sly.py"
    module.write_text("import time\nfrom os import environ\nopen('x')\nPath('x').read_text()\n")
    assert list(touches_of_the_world(module)) == [
        "sly.py:1: import time",
        "sly.py:2: import os",
        "sly.py:3: open()",
        "sly.py:4: .read_text()",
    ]
