"""The page of all segments and of one: search, order, pages, size over time, reach."""

import re
from typing import TYPE_CHECKING

import pytest

from segctl.emulator.pages.charts import draw_chart

if TYPE_CHECKING:
    from tests.emulator.conftest import Client, Clock


def listed(text: str) -> list[str]:
    """Return the names of the segments on the page, in order."""
    return re.findall(r'<th scope="row"[^>]*><a [^>]*><bdi class="name">(.*?)</bdi>', text)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Name of c", "Name of b", "Name of a"]),
        ("q=OF+B", ["Name of b"]),
        ("q=+c+", ["Name of c"]),
        ("q=none", []),
        ("sort=name", ["Name of a", "Name of b", "Name of c"]),
        ("sort=members", ["Name of b", "Name of c", "Name of a"]),
        ("start=2", ["Name of a"]),
        ("kind=API+Segments", ["Name of c", "Name of b", "Name of a"]),
        ("kind=Live", []),
    ],
)
def test_segments_are_searched_and_sorted(
    client: "Client", query: str, expected: list[str]
) -> None:
    client.create("a", "b", "c")
    client.update(["u"], [("b", "ADD")])
    assert listed(client.call("GET", f"/?{query}").text) == expected


def test_a_segment_is_found_by_its_id(client: "Client") -> None:
    ids = client.create("a", "b")
    assert listed(client.call("GET", f"/?q={ids['a']}").text) == ["Name of a"]


def test_deleted_segments_come_last(client: "Client") -> None:
    ids = client.create("a", "b")
    client.call("DELETE", f"/emulator/v1/segments/{ids['b']}")
    assert listed(client.call("GET", "/").text) == ["Name of a", "Name of b"]


def test_the_list_has_pages(client: "Client") -> None:
    for start in (0, 100, 200):
        client.create(*[f"s{number}" for number in range(start, start + 100)])
    text = client.call("GET", "/?start=200&q=name").text
    assert len(listed(text)) == 100
    assert "201–300 of <strong>300</strong> segments" in text
    assert 'href="/?start=100&amp;q=name"' in text


def test_a_page_says_why_nobody_is_reachable_until_somebody_is(client: "Client") -> None:
    ids = client.create("gold")
    client.update(["ada"], [("gold", "ADD")])
    paths = ("/", f"/segments/{ids['gold']}")
    assert all("POST /1/upload" in client.call("GET", path).text for path in paths)
    record = {"identity": "ada", "type": "profile", "profileData": {"Email": "a@example.com"}}
    client.call("POST", "/1/upload", json={"d": [record]})
    assert not any("POST /1/upload" in client.call("GET", path).text for path in paths)


def test_an_empty_page_says_what_a_user_of_segctl_does_next(client: "Client") -> None:
    for path in ("/", "/events", "/users"):
        text = client.call("GET", path).text
        assert "export CLEVERTAP_BASE_URL=http://emulator\n" in text
        assert "CLEVERTAP_ACCOUNT_ID=ACC-1\nexport CLEVERTAP_PASSCODE=…" in text
    assert "pass-1" not in text


def test_a_segments_page_has_its_chart_events_and_skipped_entries(
    client: "Client", clock: "Clock"
) -> None:
    ids = client.create("gold")
    client.update(["ada", "eve"], [("gold", "ADD")])
    clock.now += 300
    client.update(["ada", ""], [("gold", "REMOVE")])
    text = client.call("GET", f"/segments/{ids['gold']}").text
    assert "Members over time: from 0 to 1, at most 2" in text
    assert "REMOVE" in text
    assert "API_SEGMENT_EMPTY_IDENTITY" in text


def test_a_search_for_members_goes_on_where_it_stopped(
    client: "Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segctl.emulator.pages.segments.SEARCHED", 3)
    ids = client.create("gold")
    client.update(["a1", "b2", "c3", "a4"], [("gold", "ADD")])
    first = client.call("GET", f"/segments/{ids['gold']}?q=a").text
    assert "1 found in the members 1–3 of 4" in first
    assert f'href="/segments/{ids["gold"]}?q=a&amp;start=3"' in first
    assert (
        "1 found in the members 4–4 of 4"
        in client.call("GET", f"/segments/{ids['gold']}?q=a&start=3").text
    )


@pytest.mark.parametrize(
    ("points", "counts", "line"),
    [
        ([(0, 0), (50, 3)], (3, 2, 1, 0), "M0.0 200.0H500.0V0.0H1000"),
        ([(0, 100)], (100, 50, 0), "M0.0 0.0H1000"),
        ([], (1, 0), "M0.0 200.0H1000"),
        ([(0, 7), (100, 0)], (8, 6, 4, 2, 0), "M0.0 25.0H1000.0V200.0H1000"),
    ],
)
def test_a_chart_has_steps_and_round_labels(
    points: list[tuple[float, int]], counts: tuple[int, ...], line: str
) -> None:
    chart = draw_chart(points, until=100)
    assert (chart.counts, chart.line) == (counts, line)
