"""The spring-sale example: its README shows real plans, and its counts match Python sets."""

import csv
import re
import shutil
from pathlib import Path

import pytest

from segctl.cli.main import execute
from segctl.core.holdout import Holdout
from segctl.core.identity import Kind

HERE = Path(__file__).parents[2] / "examples" / "spring-sale"
REFUSED = 6


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, in which the program runs as the README says."""
    ignored = shutil.ignore_patterns("segctl.state*")
    folder = Path(shutil.copytree(HERE, tmp_path / "spring-sale", ignore=ignored))
    monkeypatch.chdir(folder)
    return folder


def read_pages() -> list[str]:
    """Return the plans that the README shows."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def read_column(file: str, **only: str) -> set[str]:
    """Return the customer ids of a CSV file, of the rows with the values in ``only``."""
    with (HERE / "data" / file).open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {r["customer_id"] for r in rows if only.items() <= r.items()}


def read_lines(file: str) -> set[str]:
    return set((HERE / "data" / file).read_text(encoding="utf-8").split())


@pytest.mark.usefixtures("workspace")
def test_the_readme_shows_the_plan_of_the_sale(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["plan", "--target", "spring-sale"]) == 0
    assert capsys.readouterr().out == read_pages()[0]


def test_the_counts_in_the_readme_match_python_sets() -> None:
    tiers = read_column("customers.csv", tier="gold") | read_column("customers.csv", tier="silver")
    users = (tiers & read_column("consent.csv")) - read_lines("bought.txt")
    holdout = Holdout(percent=20, salt="spring-2026")
    held_out = {user for user in users if holdout.holds_out(Kind.IDENTITY, user)}
    suppressed = (users - held_out) & read_lines("forgotten.txt")
    members = users - held_out - suppressed
    page = read_pages()[0]
    assert f"0 → {len(members)} members" in page
    assert f"# {len(held_out)} held out\n" in page
    assert f"# {len(suppressed)} suppressed\n" in page


def test_the_line_that_the_readme_adds_violates_the_rule(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (workspace / "data" / "customers.csv").open("a", encoding="utf-8") as table:
        table.write("00103,gold\n")
    assert execute(["plan"]) == REFUSED
    assert read_pages()[1] in capsys.readouterr().out
