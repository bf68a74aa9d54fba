"""docs/benchmarks.md shows what is kept in benchmarks/results, and all of it."""

from pathlib import Path

from benchmarks import page
from benchmarks.store import RESULTS
from benchmarks.tables import Table

TEXT = page.PAGE.read_text(encoding="utf-8")


def places() -> list[str]:
    """Name the tables that the page has room for."""
    return [place[2] for place in page.FIGURES.finditer(TEXT)]


def test_the_page_shows_the_kept_results() -> None:
    assert page.filled(TEXT, page.figures(RESULTS)) == TEXT, "run: python -m benchmarks.page"


def test_results_and_tables_of_the_page_correspond() -> None:
    assert sorted(places()) == sorted(page.figures(RESULTS))


def test_results_name_no_path_and_no_host() -> None:
    for path in RESULTS.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert '"/' not in text
        assert "://" not in text


def test_filling_twice_is_filling_once() -> None:
    text = "<!-- figures: sizes -->\n\nold\n\n<!-- end -->\nand more"
    once = page.filled(text, {"sizes": "| new |"})
    assert once == "<!-- figures: sizes -->\n\n| new |\n\n<!-- end -->\nand more"
    assert page.filled(once, {"sizes": "| new |"}) == once


def test_a_missing_measurement_is_stated() -> None:
    text = page.filled("<!-- figures: sizes -->\n<!-- end -->", {})
    assert text == "<!-- figures: sizes -->\n\nNot measured.\n\n<!-- end -->"


def test_facts_shared_by_all_results_are_stated_once(tmp_path: Path) -> None:
    for name, date in (("unchanged", "2026-01-01"), ("keys", "2026-01-02")):
        (tmp_path / f"{name}.json").write_text(
            f'{{"machine": {{"date": "{date}", "cores": "2"}}, "measurements": []}}'
        )
    texts = page.figures(tmp_path)
    assert "| cores | 2 |" in texts["machine"]
    assert texts["keys"].endswith("\n\ndate: 2026-01-02")


def test_a_table_is_aligned_for_a_terminal() -> None:
    table = Table(name="t", head=["members", "s"], rows=[["10", "1.50"], ["1,000", "2.00"]])
    assert str(table).splitlines() == [
        "| members |    s |",
        "| ------- | ---: |",
        "| 10      | 1.50 |",
        "| 1,000   | 2.00 |",
    ]
