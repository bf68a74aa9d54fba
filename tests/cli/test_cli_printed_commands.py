"""A command that segctl prints runs when it is pasted: with folder, environment and quotes."""

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from segctl.cli.arguments import split_levels
from segctl.cli.main import cli, execute
from segctl.cli.root_options import workspace_folder
from segctl.core.command_line import add_run_options, command_line
from tests.cli.conftest import GOLD

ROOT = Path(__file__).parents[2]
PROJECT = (
    "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: test}\n"
    "spec: {environments: {prod: {}}}\n"
)

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program above a workspace, and return its exit code and all that it printed."""
    folder = tmp_path / "it's mine"
    folder.mkdir()
    (folder / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    (folder / "gold.yaml").write_text(GOLD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run_words(*words: str) -> tuple[int, str]:
        code = execute(words)
        return code, "".join(capsys.readouterr())

    return run_words


def printed_commands(text: str) -> list[str]:
    """Return the commands on lines of their own and in backticks, without the program's name."""
    lines = re.findall(r"^(?:  |Next: )segctl (.*)$", text, re.MULTILINE)
    return [*re.findall(r"`segctl ([^`]*)`", text), *lines]


def parse(command: str) -> click.Context:
    """Return the context of a command line. What it does not name may be missing."""
    words = shlex.split(command)
    level = split_levels(click.Context(cli, info_name="segctl"), words)[-1]
    assert all(word.option for word in level.options), command
    context = level.context
    context.resilient_parsing = True
    context.command.parse_args(context, words[level.start :])
    return context


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    "name", ["my plan.segplan", "-x.segplan", "it's $HOME.segplan", "a.segplan"]
)
def test_the_command_that_applies_a_saved_plan_runs(run: Run, name: str) -> None:
    code, text = run("-C", "it's mine", "plan", "-e", "prod", "--out", name)
    assert code == 0
    assert run(*shlex.split(printed_commands(text)[-1]))[0] == 0


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    "words",
    [
        "plan --save",
        "apply",
        "apply gone.segplan",
        "apply --approved 1f",
        "destroy",
        "show gone",
        "state show x",
        "state push gone",
        "state new --forget x",
        "state mv a b",
        "import nope",
        "import gold",
        "members",
        "members nope",
        "graph --target nope",
        "rejects load gone",
        "rejects retry --target nope",
        "force-unlock x",
    ],
)
def test_every_printed_command_names_folder_and_environment(run: Run, words: str) -> None:
    _, text = run(*words.split(), "-C", "it's mine", "-e", "prod")
    for command in printed_commands(text):
        context = parse(command)
        assert workspace_folder(context) == "it's mine"
        assert context.params["env_names"] == ("prod",)


@pytest.mark.usefixtures("emulator")
def test_what_is_planned_again_gets_the_same_variables(run: Run, tmp_path: Path) -> None:
    project = PROJECT.replace("spec: {", "spec: {variables: {a: {}, b: {}}, ")
    (tmp_path / "it's mine/segctl.yaml").write_text(project, encoding="utf-8")
    (tmp_path / "it's mine/b.vars").write_text("b: 1\n", encoding="utf-8")
    variables = ("--var=a=x y", "--var-file", "b.vars")
    _, text = run("-C", "it's mine", "plan", "-e", "prod", "--save", *variables)
    assert run(*shlex.split(printed_commands(text)[-1]))[0] == 0


@pytest.mark.parametrize("folder", ["new", "a b", "-x", "it's"])
def test_the_command_after_init_runs(run: Run, folder: str) -> None:
    code, text = run("init", "--", folder)
    assert code == 0
    (command,) = printed_commands(text)
    assert run(*shlex.split(command))[0] == 0


def test_a_command_of_the_current_folder_has_no_options() -> None:
    assert command_line("state rm", "segment.gold") == "segctl state rm segment.gold"
    assert add_run_options("`segctl plan`") == "`segctl plan`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run `segctl plan --out FILE`.", "run `segctl plan -C 'a b' -e x --out FILE`."),
        ("`segctl state rm a`", "`segctl state rm -C 'a b' -e x a`"),
        ("`segctl state new -e y --forget 1`", "`segctl state new -C 'a b' -e y --forget 1`"),
        ("`segctl emulator --settings f`", "`segctl emulator --settings f`"),
        ("segctl plan, `git status`", "segctl plan, `git status`"),
    ],
)
def test_the_commands_in_a_message_are_completed(text: str, expected: str) -> None:
    assert add_run_options(text, folder="a b", env_name="x") == expected


def texts_of(path: Path) -> Iterator[str]:
    """Yield every text in a module, with ``X`` in place of what is filled in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)
            yield "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


MODULES = sorted(path for path in (ROOT / "segctl").rglob("*.py") if "`segctl " in path.read_text())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_a_message_has_options_that_exist(path: Path) -> None:
    for text in texts_of(path):
        for command in re.findall(r"`segctl ([a-z][^`]*)`", text):
            parse(command)
