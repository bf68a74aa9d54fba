"""docs/commands.md names every command, option and variable, and no other option."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from segctl.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
IN_CODE = " ".join(re.findall(r"`([^`\n]+)`", PAGE))
SOURCES = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "segctl").rglob("*.py"))


def commands() -> Iterator[click.Command]:
    for name in COMMANDS:
        found = cli.get_command(click.Context(cli), name)
        assert found
        yield from found.commands.values() if isinstance(found, click.Group) else [found]


def test_every_command_is_named() -> None:
    words = set(IN_CODE.split())
    assert {str(command.name) for command in commands()} <= words
    assert set(COMMANDS) <= words


def test_every_option_is_named_and_no_other() -> None:
    ours = {
        name
        for command in commands()
        for option in command.params
        for name in option.opts
        if name.startswith("--")
    }
    assert set(re.findall(r"--[a-z][a-z-]+", IN_CODE)) - {"--help"} == ours - {"--help"}


def test_every_variable_of_the_environment_is_named() -> None:
    read = set(re.findall(r'"((?:SEGCTL|CLEVERTAP)_[A-Z_]*[A-Z]|NO_COLOR|FORCE_COLOR)"', SOURCES))
    assert len(read) > 6
    assert sorted(name for name in read if name not in IN_CODE) == []


def test_the_line_types_match_the_stream() -> None:
    stream = (ROOT / "segctl/render/stream.py").read_text(encoding="utf-8")
    listing = PAGE.partition("and `type`:")[2].partition(". ")[0]
    kinds = re.findall(r"`(\w+)`", listing)
    assert len(kinds) == 14
    assert [kind for kind in kinds if f'"{kind}"' not in stream] == []
