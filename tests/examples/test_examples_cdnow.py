"""The CDNOW example: its README's figures, and its SQL beside plain Python."""

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


def table(first_heading: str) -> list[list[str]]:
    """Give the rows of the README's table that starts with this heading, marks removed."""
    text = README[README.index(f"\n| {first_heading}") :].strip().partition("\n\n")[0]
    rows = [line.strip("|").replace("*", "").split("|") for line in text.splitlines()]
    return [[cell.strip() for cell in row] for row in rows if not set("".join(row)) <= set("-: ")]


def queries() -> dict[str, str]:
    """Give the SQL of each document of the example that has a query, by the document's name."""
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


def rows_of(sql: str, as_of: date) -> list[tuple[str, ...]]:
    """Run a query of the example in DuckDB itself, its file read as text."""
    sql = sql.replace("'data/transactions.csv'", "transactions")
    with duckdb.connect() as connection:
        connection.execute(
            "create view transactions as from read_csv($1, all_varchar = true)".replace(
                "$1", f"'{expected.PURCHASES}'"
            )
        )
        return connection.execute(sql, {"as_of": str(as_of)}).fetchall()


def test_the_readme_gives_the_size_of_every_audience() -> None:
    heading, *rows = table("audience")
    assert heading[1:] == [str(day) for day in DAYS]
    sizes = [{name: f"{len(m):,}" for name, m in expected.audiences(d).items()} for d in DAYS]
    assert {name: figures for name, *figures in rows} == {
        name: [size[name] for size in sizes] for name in sizes[0]
    }


def test_the_readme_shows_the_grid() -> None:
    rows = table("| F = 1")[1:]
    grid = {int(re.sub(r"\D", "", score)): tuple(names) for score, *names in rows}
    assert grid == expected.GRID


@pytest.mark.parametrize("as_of", DAYS, ids=str)
def test_every_customer_is_in_exactly_one_class(as_of: date) -> None:
    audiences = expected.audiences(as_of)
    classed = [who for name in expected.RFM_CLASSES for who in audiences[name]]
    assert sorted(classed) == sorted(c.id for c in expected.customers(as_of))


@pytest.mark.parametrize("as_of", DAYS, ids=str)
def test_the_sql_labels_customers_as_plain_python_does(as_of: date) -> None:
    audiences = expected.audiences(as_of)
    labels = {(who, name) for name in expected.RFM_CLASSES for who in audiences[name]}
    assert sorted(rows_of(queries()["rfm"], as_of)) == sorted(labels)


@pytest.mark.parametrize("name", ["one-time-buyers", "big-spenders", "win-back"])
def test_the_sql_of_an_audience_finds_whom_plain_python_finds(name: str) -> None:
    as_of = DAYS[1]
    found = {who for (who,) in rows_of(queries()[name], as_of)}
    excluded = set(expected.DO_NOT_CONTACT.read_text(encoding="utf-8").split())
    assert found - (excluded if name == "win-back" else set()) == expected.audiences(as_of)[name]


def test_somebody_who_asked_not_to_be_contacted_would_be_won_back() -> None:
    excluded = set(expected.DO_NOT_CONTACT.read_text(encoding="utf-8").split())
    assert excluded & {who for (who,) in rows_of(queries()["win-back"], DAYS[1])}
