"""The CDNOW example: its SQL and its README agree with the same audiences computed in Python."""

import re
from datetime import date
from pathlib import Path

import duckdb
import pytest
import yaml

from examples.cdnow import expected

HERE = Path(expected.__file__).parent
README = (HERE / "README.md").read_text(encoding="utf-8")
DAYS = (date(1997, 3, 31), date(1997, 12, 31), date(1998, 1, 31))


def read_table(first_heading: str) -> list[list[str]]:
    """Return the rows of the README's table with this first heading, without Markdown marks."""
    text = README[README.index(f"\n| {first_heading}") :].strip().partition("\n\n")[0]
    rows = [line.strip("|").replace("*", "").split("|") for line in text.splitlines()]
    return [[cell.strip() for cell in row] for row in rows if not set("".join(row)) <= set("-: ")]


def read_queries() -> dict[str, str]:
    """Return the SQL of the example's manifests by their names."""
    documents = [
        document
        for file in ("rfm.yaml", "audiences.yaml")
        for document in yaml.safe_load_all((HERE / file).read_text(encoding="utf-8"))
    ]
    specs = {document["metadata"]["name"]: document["spec"] for document in documents}
    return {
        name: (spec["source"] if name == "rfm" else spec["members"][0])["query"]["sql"]
        for name, spec in specs.items()
    }


def run_query(sql: str, as_of: date) -> list[tuple[str, ...]]:
    """Run a query of the example directly in DuckDB, with all columns of its file as text."""
    sql = sql.replace("'data/transactions.csv'", "transactions")
    with duckdb.connect() as connection:
        connection.execute(
            "create view transactions as from read_csv($1, all_varchar = true)".replace(
                "$1", f"'{expected.PURCHASES}'"
            )
        )
        return connection.execute(sql, {"as_of": str(as_of)}).fetchall()


def test_the_readme_lists_the_size_of_every_audience() -> None:
    heading, *rows = read_table("audience")
    assert heading[1:] == [str(day) for day in DAYS]
    sizes = [{name: f"{len(m):,}" for name, m in expected.audiences(d).items()} for d in DAYS]
    assert {name: counts for name, *counts in rows} == {
        name: [size[name] for size in sizes] for name in sizes[0]
    }


def test_the_readme_shows_the_grid() -> None:
    rows = read_table("| F = 1")[1:]
    grid = {int(re.sub(r"\D", "", score)): tuple(names) for score, *names in rows}
    assert grid == expected.GRID


@pytest.mark.parametrize("as_of", DAYS, ids=str)
def test_every_customer_is_in_exactly_one_class(as_of: date) -> None:
    audiences = expected.audiences(as_of)
    members = [user for name in expected.RFM_CLASSES for user in audiences[name]]
    assert sorted(members) == sorted(c.id for c in expected.customers(as_of))


@pytest.mark.parametrize("as_of", DAYS, ids=str)
def test_the_sql_classifies_customers_like_the_python(as_of: date) -> None:
    audiences = expected.audiences(as_of)
    classes = {(user, name) for name in expected.RFM_CLASSES for user in audiences[name]}
    assert sorted(run_query(read_queries()["rfm"], as_of)) == sorted(classes)


@pytest.mark.parametrize("name", ["one-time-buyers", "big-spenders", "win-back"])
def test_the_sql_of_an_audience_selects_the_same_members_as_the_python(name: str) -> None:
    as_of = DAYS[1]
    selected = {user for (user,) in run_query(read_queries()[name], as_of)}
    excluded = set(expected.DO_NOT_CONTACT.read_text(encoding="utf-8").split())
    if name == "win-back":
        selected -= excluded
    assert selected == expected.audiences(as_of)[name]


def test_the_exclusion_of_win_back_excludes_somebody() -> None:
    excluded = set(expected.DO_NOT_CONTACT.read_text(encoding="utf-8").split())
    assert excluded & {user for (user,) in run_query(read_queries()["win-back"], DAYS[1])}
