"""The spring-sale example: its README's pages, and its members in plain Python sets."""

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
def workspace(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("segctl.state*")
    return Path(shutil.copytree(HERE, tmp_path / "spring-sale", ignore=ignored))


def pages() -> list[str]:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def column(file: str, **only: str) -> set[str]:
    with (HERE / "data" / file).open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {r["customer_id"] for r in rows if only.items() <= r.items()}


def lines(file: str) -> set[str]:
    return set((HERE / "data" / file).read_text(encoding="utf-8").split())


def test_the_readme_shows_the_plan_of_the_sale(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["plan", "-C", str(workspace), "--target", "spring-sale"]) == 0
    assert capsys.readouterr().out == pages()[0]


def test_the_readme_counts_what_plain_sets_count() -> None:
    tiers = column("customers.csv", tier="gold") | column("customers.csv", tier="silver")
    found = (tiers & column("consent.csv")) - lines("bought.txt")
    holdout = Holdout(percent=20, salt="spring-2026")
    held = {user for user in found if holdout.holds_out(Kind.IDENTITY, user)}
    suppressed = (found - held) & lines("forgotten.txt")
    members = found - held - suppressed
    assert f"0 → {len(members)} members" in pages()[0]
    assert f"# {len(held)} held out\n" in pages()[0]
    assert f"# {len(suppressed)} suppressed\n" in pages()[0]


def test_the_rule_is_broken_by_the_line_that_the_readme_adds(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (workspace / "data" / "customers.csv").open("a", encoding="utf-8") as table:
        table.write("00103,gold\n")
    assert execute(["plan", "-C", str(workspace)]) == REFUSED
    assert pages()[1] in capsys.readouterr().out
