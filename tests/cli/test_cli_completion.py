"""What a shell completes: the names of the workspace, and nothing of a broken one."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from segctl.cli.main import cli
from segctl.cli.shell_completion import _FLAGS, _OPERANDS, _OPTIONS, _Bash, complete_value
from segctl.emulator.testing import RunningEmulator
from segctl.manifests.compile import compile_files
from segctl.manifests.manifest_files import read_manifests
from segctl.manifests.name_scan import scan_segment_names

ROOT = Path(__file__).parents[2]
Segctl = Callable[..., Any]

PROJECT = """\
apiVersion: segctl/v1
kind: Project
metadata: {name: test}
spec:
  environments: {prod: {}, staging: {state: {path: elsewhere}}}
  variables: {as_of: {default: a}, tier: {default: b}}
"""


def completions(words: str, incomplete: str = "") -> list[str] | None:
    found = complete_value(words.split(), incomplete)
    return None if found is None else [item.value for item in found]


@pytest.fixture
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is a workspace with environments, and a state of other segments."""
    (workspace / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    for folder, name in ((workspace, "old"), (workspace / "elsewhere", "staged")):
        folder.mkdir(exist_ok=True)
        head = f'{{"segments": {{"segment.{name}": {{}}}}}}'
        (folder / "segctl.state.json").write_text(head, encoding="utf-8")
    monkeypatch.chdir(workspace)
    return workspace


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ("plan --target", "", "segment.council segment.gold segment.old"),
        ("plan --target", "segment.g", "segment.gold"),
        ("plan --target", "go", "gold"),
        ("plan --target =", "go", "gold"),
        ("plan", "--target=go", "--target=gold"),
        ("plan --exclude", "o", "old"),
        ("destroy --json --target gold --target", "c", "council"),
        ("members gold --overlap", "c", "council"),
        ("members", "segment.", "segment.council segment.gold segment.old"),
        ("import --column", "", None),
        ("import --column id", "segment.g", "segment.gold"),
        ("members --count", "go", "gold"),
        ("import", "", "segment.council segment.gold"),
        ("state show", "", "segment.old"),
        ("state rm -e staging", "", "segment.staged"),
        ("-e staging state list", "s", "segment.staged staged"),
        ("state mv segment.old", "segment.g", "segment.gold"),
        ("plan -e", "", "prod staging"),
        ("--env", "p", "prod"),
        ("plan --var", "a", "as_of="),
        ("plan", "--ta", None),
        ("", "pl", None),
        ("state", "m", None),
    ],
)
def test_the_names_of_the_workspace_are_completed(
    words: str, incomplete: str, expected: str | None
) -> None:
    assert completions(words, incomplete) == (None if expected is None else expected.split())


@pytest.mark.parametrize("words", ["-C {}", "--chdir={}", "-C / -C {}"])
def test_the_workspace_is_the_one_of_chdir(here: Path, words: str) -> None:
    assert completions(f"{words.format(here)} plan --target", "segment.go") == ["segment.gold"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "kind"),
    [("apply", "file"), ("plan --var-file", "file"), ("-C", "dir"), ("init", "dir")],
)
def test_files_and_folders_are_completed_by_the_shell(words: str, kind: str) -> None:
    found = complete_value(words.split(), "x") or []
    assert [(item.type, item.value) for item in found] == [(kind, "x")]
    assert words == "-C" or completions(f"-C elsewhere {words}", "x") == []


@pytest.mark.parametrize("words", ["plan -e", "plan --var", "state show"])
def test_a_name_that_a_shell_would_run_or_split_is_not_completed(here: Path, words: str) -> None:
    names = "$(id)", "a`id`", "a;b", "a\nb", "a b", "*"
    entries = ", ".join(f"{json.dumps(name)}: {{}}" for name in (*names, "fine"))
    spec = f"{{environments: {{{entries}}}, variables: {{{entries}}}}}"
    (here / "segctl.yaml").write_text(f"kind: Project\nspec: {spec}\n", encoding="utf-8")
    (here / "segctl.state.json").write_text(f'{{"segments": {{{entries}}}}}', encoding="utf-8")
    assert completions(words) == ["fine=" if "--var" in words else "fine"]


@pytest.mark.parametrize("name", ["segctl.yaml", "segctl.state.json", "segments/pipe.yaml"])
@pytest.mark.parametrize("words", ["plan -e", "plan --var", "plan --target"])
def test_a_pipe_in_the_workspace_is_not_waited_for(here: Path, words: str, name: str) -> None:
    (here / name).parent.mkdir(exist_ok=True)
    (here / name).unlink(missing_ok=True)
    os.mkfifo(here / name)
    _Bash(cli, {}, "segctl", "").get_completions(words.split(), "")


@pytest.mark.usefixtures("emulator")
def test_the_segments_of_a_real_state_are_completed(
    segctl: Segctl, workspace: Path, emulator: RunningEmulator
) -> None:
    del emulator
    segctl("apply", "--auto-approve")
    assert completions(f"state rm -C {workspace}") == ["segment.council", "segment.gold"]


@pytest.mark.parametrize("words", ["plan --target", "plan -e", "plan --var", "state rm", "x y"])
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("segctl.yaml", "{{{"),
        ("segctl.state.json", "{"),
        ("segctl.yaml", None),
        ("gold.yaml", "\0"),
    ],
)
def test_a_broken_workspace_completes_nothing_and_prints_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], words: str, file: str, content: str | None
) -> None:
    shutil.rmtree(here / "elsewhere")
    (here / file).unlink()
    if content is not None:
        (here / file).write_text(content, encoding="utf-8")
    shell = _Bash(cli, {}, "segctl", "_SEGCTL_COMPLETE")
    assert [i for i in shell.get_completions(words.split(), "\udcff") if i.type == "plain"] == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in ROOT.glob("examples/**/segctl.yaml")}), ids=str
)
def test_the_names_that_are_completed_are_those_that_the_manifests_declare(folder: Path) -> None:
    contents = read_manifests(folder).contents
    desired = compile_files(contents, variables={}, environment={}).desired
    assert desired
    scanned = {n for text in contents.values() for n in scan_segment_names(text.decode())}
    assert scanned == {segment.address.removeprefix("segment.") for segment in desired.segments}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("metadata:\n  labels:\n    name: no\n  name: yes.no  # a\nkind: Segment\n", ["yes.no"]),
        ('metadata: {labels: {a: b}, name: "quoted"}\nkind: Segment\n', []),
        ('{"metadata": {"name": "json"}, "kind": "Segment"}', ["json"]),
        ("metadata:\n\n  # name: no\n  name: 'x'\nkind: Segment", ["x"]),
        ("kind: SegmentTable\nspec:\n  segments:\n    a: {}\n    b:\n      name: c\n", ["a", "b"]),
        ("kind: SegmentTable\nspec:\n  segments:\n  other: 1\n", []),
        ("kind: Project\nmetadata: {name: x}\n", []),
        ("kind: Segment\nmetadata:\n" + " \n" * 5000, []),
    ],
)
def test_names_are_found_by_their_layout(text: str, names: list[str]) -> None:
    text = text.replace("kind", "apiVersion: segctl/v1\nkind", 1) if text[0] != "{" else text
    text = text.replace('{"metadata"', '{"apiVersion": "segctl/v1", "metadata"')
    assert list(scan_segment_names(text)) == names
    assert list(scan_segment_names(text.replace("segctl/v1", "apps/v1"))) == []


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its path, groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


def test_the_tables_name_options_and_commands_that_exist() -> None:
    by_path = dict(commands(cli))
    assert set(_OPERANDS) <= set(by_path)
    options = [option for command in by_path.values() for option in command.params]
    values = {n for o in options if not getattr(o, "is_flag", False) for n in o.opts}
    flags = {n for o in options if getattr(o, "is_flag", False) for n in o.opts}
    assert set(_OPTIONS) - values <= {"--exclude"}
    assert _FLAGS - flags == {"--"}
    assert not _FLAGS & values
