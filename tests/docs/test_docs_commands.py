"""The commands and exit codes that pages and messages name exist."""

import re
from pathlib import Path

import click
import pytest

from segctl.cli import errors
from segctl.cli.main import cli
from segctl.cli.plan import CHANGES, NO_CHANGES

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
)
SOURCES = sorted((ROOT / "segctl").rglob("*.py"))


def named_commands(text: str) -> list[str]:
    """Return the commands after ``segctl`` in code, with their subcommands."""
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    command = r"segctl ([a-z][a-z-]*(?: [a-z][a-z-]+)?)"
    return [
        *re.findall(rf"(?:`|\$ |run: ){command}", text),
        *re.findall(rf"^{command}", blocks, re.MULTILINE),
    ]


def find_command(words: str) -> click.Command | None:
    """Return the command that the words name, or ``None`` if there is none."""
    first, _, second = words.partition(" ")
    context = click.Context(cli)
    found = cli.get_command(context, first)
    if isinstance(found, click.Group) and second:
        return found.get_command(context, second)
    return found


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_named_in_the_pages_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    missing = [words for words in named_commands(text) if find_command(words) is None]
    assert missing == []


def test_the_pages_name_commands() -> None:
    assert len(named_commands((ROOT / "docs/state.md").read_text(encoding="utf-8"))) > 10


@pytest.mark.parametrize("page", ["README.md", "docs/state.md"])
def test_the_table_of_exit_codes_matches_the_program(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    ours = {errors.FAILED, errors.USAGE, errors.OUR_BUG, errors.INTERRUPTED}
    assert shown == ours | {NO_CHANGES, CHANGES} | set(errors._CODES.values())
