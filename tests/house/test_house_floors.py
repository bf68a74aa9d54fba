"""The floors as far as import-linter cannot see them: outside libraries and built-ins."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "segctl"

WORDS = (
    "errors.py",
    "diagnostics.py",
    "address.py",
    "identity.py",
    "clock.py",
    "plain.py",
    "room.py",
    "stopping.py",
)
PURE = (
    "manifests",
    "state",
    "plan",
    "packing",
    "outcomes.py",
    "events.py",
    "fingerprints.py",
    "holdout.py",
    "learned.py",
    "rejects.py",
    "render",
)

ROOMS = {
    "click": ("cli",),
    "rich": ("cli",),
    "httpx": ("provider",),
    "httpcore": ("provider",),
    "duckdb": ("engine",),
    "pydantic": ("manifests", "state/codec.py", "plan/codec.py"),
    "pydantic_core": ("manifests",),
    "yaml": ("manifests",),
    "deepdiff": ("plan/diff.py",),
    "psycopg": ("sources/postgres",),
    "obstore": ("sources/objects",),
    "numpy": ("packing", "engine", "planfile.py"),
    "jinja2": ("render", "emulator"),
    "starlette": ("emulator",),
    "uvicorn": ("emulator",),
    "pytest": ("emulator/pytest_plugin.py",),
}
"""Which part of the house each outside library belongs to; none may be used elsewhere."""

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


@pytest.mark.parametrize("path", python_files(*PURE), ids=relative)
def test_a_pure_module_reaches_for_no_file_clock_chance_or_environment(path: Path) -> None:
    assert list(touches_of_the_world(path)) == []


@pytest.mark.parametrize("path", python_files(*WORDS), ids=relative)
def test_words_need_the_standard_library_alone(path: Path) -> None:
    roots = {root for _, root in imported_roots(path)}
    assert roots <= sys.stdlib_module_names | {"segctl"}


@pytest.mark.parametrize("library", ROOMS)
def test_each_outside_library_stays_in_its_room(library: str) -> None:
    strays = [
        f"{relative(path)}:{line}"
        for path in python_files(".")
        for line, root in imported_roots(path)
        if root == library and not relative(path).startswith(ROOMS[library])
    ]
    assert strays == []


def test_every_outside_library_has_a_room() -> None:
    used = {root for path in python_files(".") for _, root in imported_roots(path)}
    assert used - sys.stdlib_module_names - {"segctl"} <= set(ROOMS)


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
