"""The start of the program: quick, light, and clear about what it was not given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from segctl import __version__
from segctl.cli.main import COMMANDS, cli, execute
from tests.program import ENTRY

HEAVY = ("pydantic", "duckdb", "yaml", "rich", "httpx", "jinja2", "numpy", "deepdiff", "starlette")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["pln"], []])
def test_nothing_heavy_is_imported_before_a_command_is_called(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom segctl.cli.main import execute\n"
        f"execute({arguments!r})\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert python(code).stdout.splitlines()[-1] == "heavy: []"


def test_the_version_needs_no_view_of_a_plan() -> None:
    code = (
        "import sys\nfrom segctl.cli.main import execute\nexecute(['version'])\n"
        "print('segctl.render.text' in sys.modules)"
    )
    assert python(code).stdout.splitlines()[-1] == "False"


@pytest.mark.usefixtures("emulator")
def test_a_plan_without_changes_starts_no_engine_no_loop_and_no_driver(workspace: Path) -> None:
    needless = (
        *(set(HEAVY) - {"pydantic", "yaml"}),
        *("asyncio", "ssl", "ctypes", "sqlite3", "psycopg", "cryptography"),
    )
    folder = str(workspace)
    assert execute(["apply", "--auto-approve", "-C", folder]) == 0
    code = (
        "import sys\nfrom segctl.cli.main import execute\n"
        f"execute(['plan', '-C', {folder!r}])\n"
        f"print('needless:', [name for name in {needless!r} if name in sys.modules])"
    )
    lines = python(code).stdout.splitlines()
    assert lines[0].startswith("No changes.")
    assert lines[-1] == "needless: []"


def test_a_first_plan_of_one_segment_does_not_import_numpy(tmp_path: Path) -> None:
    assert execute(["init", str(tmp_path)]) == 0
    code = (
        "import sys\nfrom segctl.cli.main import execute\n"
        f"execute(['plan', '-C', {str(tmp_path)!r}, '--out', {str(tmp_path / 'p')!r}])\n"
        "print('engine:', 'duckdb' in sys.modules, 'numpy:', 'numpy' in sys.modules)"
    )
    assert python(code).stdout.splitlines()[-1] == "engine: True numpy: False"


def test_the_classes_of_a_plan_are_not_compiled_by_the_standard_library() -> None:
    """Its decorator takes five times longer than ``segctl.core.dataclass``."""
    folders = ("segctl.core", "segctl.manifests", "segctl.state", "segctl.plan")
    code = (
        "import dataclasses, sys, segctl.cli.plan, segctl.planning.planner\n"
        f"modules = [m for name, m in sys.modules.items() if name.startswith({folders!r})]\n"
        "print([m.__name__ for m in modules\n"
        "       if getattr(m, 'dataclass', None) is dataclasses.dataclass])"
    )
    assert python(code).stdout == "[]\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_static_table_says_what_the_command_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name][1]


def leaves(name: str) -> list[click.Command]:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return list(command.commands.values()) if isinstance(command, click.Group) else [command]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_common_options_and_shows_an_example(name: str) -> None:
    for command in leaves(name):
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"-C", "--chdir", "--var", "--no-color", "--log-level"} <= options
        assert (command.epilog or "").startswith("Example")


@pytest.mark.parametrize("name", ["apply", "destroy"])
def test_what_locks_takes_a_lock_timeout(name: str) -> None:
    (command,) = leaves(name)
    assert "--lock-timeout" in {o for parameter in command.params for o in parameter.opts}


def test_a_misspelled_command_is_wrong_usage_and_told_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert execute(["pln"]) == 64
    assert capsys.readouterr().err == (
        "Usage: segctl [OPTIONS] COMMAND [ARGS]...\nTry 'segctl --help' for help.\n\n"
        "Error: No such command 'pln'. Did you mean 'plan'?\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "--nope"], "No such option '--nope'."),
        (["plan", "--var", "x"], "Invalid value for '--var': write it as NAME=VALUE."),
        (["apply", "--lock-timeout", "soon"], "write seconds, or 30s, 5m, 1h."),
        (["force-unlock"], "Missing argument 'ID'."),
        (["plan", "-C", "nowhere"], "Directory 'nowhere' does not exist."),
        (["completion", "tcsh"], "'tcsh' is not one of"),
    ],
)
def test_wrong_usage_exits_64_and_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == 64
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_no_command_at_all_prints_the_help_and_is_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert execute([]) == 64
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["plan", "--help"]])
def test_asking_for_help_is_no_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == 0
    assert capsys.readouterr().out


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"segctl {__version__}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_segctl(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["completion", shell]) == 0
    assert "_SEGCTL_COMPLETE" in capsys.readouterr().out


def test_a_shell_completes_commands() -> None:
    done = subprocess.run(
        ENTRY,
        env={
            **os.environ,
            "_SEGCTL_COMPLETE": "bash_complete",
            "COMP_WORDS": "segctl st",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "plain,state\n"


@pytest.mark.parametrize("name", ["project", "manifest"])
def test_schema_prints_a_json_schema(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["schema", name]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == f"segctl {name}"


def test_paths_are_relative_to_chdir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["show", "some.plan", "-C", str(tmp_path)]) == 1
    assert str(tmp_path / "some.plan") in capsys.readouterr().err


@pytest.mark.parametrize("group", ["state", "rejects"])
def test_a_list_of_commands_cuts_no_sentence_short(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([group, "--help"]) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]
