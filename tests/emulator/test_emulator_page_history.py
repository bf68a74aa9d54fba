"""The pages of events and skipped entries: filters, counts, paging both ways, applies, files."""

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Client, Clock


def numbers(text: str) -> list[int]:
    """Return the numbers of the rows on a page, in order."""
    return [int(each) for each in re.findall(r'<tr data-key="(\d+)(?:-\d+)?">', text)]


def position(text: str) -> str:
    """Return what the first pager says, without markup."""
    (found,) = re.findall(r'class="pager"[^>]*>\s*<p>(.*?)</p>', text, re.DOTALL)[:1]
    return re.sub(r"<[^>]+>", "", found)


def link(text: str, name: str) -> str:
    """Return the address of the link to the previous or the next page."""
    return unescape(re.findall(rf'rel="{name}" href="([^"]+)"', text)[0])


def fill(client: "Client") -> None:
    """Add 250 users to one segment and two of them to another."""
    client.create("gold", "silver")
    for start in range(0, 250, 50):
        client.update([f"u{number}" for number in range(start, start + 50)], [("gold", "ADD")])
    client.update(["u1", "u2"], [("silver", "ADD")])
    client.update(["u1"], [("silver", "REMOVE")])


def test_events_are_paged_both_ways_and_counted(client: "Client") -> None:
    fill(client)
    first = client.call("GET", "/events").text
    assert (position(first), numbers(first)[0]) == ("1–100 of 253 events", 253)
    second = client.call("GET", link(first, "next")).text
    assert (position(second), numbers(second)) == ("101–200 of 253 events", [*range(153, 53, -1)])
    last = client.call("GET", link(second, "next")).text
    assert (position(last), numbers(last)) == ("201–253 of 253 events", [*range(53, 0, -1)])
    assert 'rel="next"' not in last
    back = client.call("GET", link(last, "prev")).text
    assert (position(back), numbers(back)) == (position(second), numbers(second))


def test_a_page_of_events_stays_the_same_when_new_ones_come(client: "Client") -> None:
    fill(client)
    address = link(client.call("GET", "/events").text, "next")
    before = client.call("GET", address).text
    client.update(["new"], [("gold", "ADD")])
    after = client.call("GET", address).text
    assert numbers(after) == numbers(before)
    assert position(after) == "102–201 of 254 events"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("segment=silver", 3),
        ("segment=Name+of+SIL", 3),
        ("segment=silver&action=REMOVE", 1),
        ("user=u1", 3),
        ("user=u1&segment=gold", 1),
        ("apply=1", 253),
        ("from=2027-01-15T08:00&to=2027-01-15T08:00", 253),
        ("to=2027-01-15T07:59", 0),
        ("user=U1", 0),
        ("segment=none", 0),
        ("after=200&older=nonsense", 53),
    ],
)
def test_events_are_filtered(client: "Client", query: str, count: int) -> None:
    fill(client)
    text = client.call("GET", f"/events?{query}").text
    assert len(numbers(text)) == min(count, 100)
    assert (f"of {count} " in position(text)) if count and "after" not in query else True


def test_events_and_skipped_entries_are_grouped_by_apply(client: "Client", clock: "Clock") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD"), ("nowhere", "ADD")])
    clock.now += 120
    client.update(["b"], [("gold", "ADD"), ("nowhere", "ADD")])
    for path in ("/events", "/errors"):
        assert client.call("GET", path).text.count('<tr class="group"') == 2
        assert len(numbers(client.call("GET", f"{path}?apply=2").text)) == 1


def test_skipped_entries_are_found_by_segment_type_and_user(client: "Client") -> None:
    ids = client.create("gold")
    client.update(["a", ""], [("gold", "ADD"), ("nowhere", "ADD")])
    client.update(["a"], [{"ct_segment_id": ids["gold"], "action": "?"}])
    found = {
        query: len(numbers(client.call("GET", f"/errors?{query}").text))
        for query in (
            "",
            "segment=gold",
            "segment=nowhere",
            "user=a",
            "type=API_SEGMENT_INVALID_ACTION",
        )
    }
    assert [*found.values()] == [4, 2, 2, 2, 1]
    assert "segctl rejects load" in client.call("GET", "/errors").text


def test_skipped_entries_show_both_ids_if_one_is_known(client: "Client") -> None:
    ids = client.create("gold")
    client.update(["a"], [{"ct_segment_id": ids["gold"], "action": "?"}])
    text = client.call("GET", "/errors").text
    assert f'href="/segments/{ids["gold"]}"' in text
    assert '<bdi class="name">gold</bdi>' in text


def test_pages_of_skipped_entries_do_not_split_a_line(client: "Client") -> None:
    for start in (0, 60):
        users = [f"u{number}" for number in range(start, start + 60)]
        client.update(users, [("nowhere", "ADD")])
    client.update(["z"], [("nowhere", "ADD")])
    first = client.call("GET", "/errors").text
    assert position(first) == "1–121 of 121 skipped entries"


@pytest.mark.parametrize("path", ["/events", "/errors"])
@pytest.mark.parametrize(
    "query",
    ["before=x", "from=yesterday", "apply=99", "apply=x", "action=add", "type=none", "format=xml"],
)
def test_a_wrong_filter_is_refused_with_its_name(client: "Client", path: str, query: str) -> None:
    applies = {"action": "/events", "type": "/errors"}.get(query.partition("=")[0], path)
    path = path + "/export" if query.startswith("format") else applies
    if query.startswith("apply=x"):
        client.create("gold")
    answer = client.call("GET", f"{path}?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]


def test_the_files_have_what_the_page_shows_oldest_first(client: "Client") -> None:
    fill(client)
    events = client.call("GET", "/events/export?segment=silver&format=csv").text.splitlines()
    assert events[0] == "No.,Time,Action,Segment ID,Customer Segment ID,Segment Name,User"
    assert [line.split(",")[-1] for line in events[1:]] == ["u1", "u2", "u1"]
    client.update(["a,b"], [("nowhere", "ADD")])
    errors = client.call("GET", "/errors/export?user=a%2Cb")
    assert errors.text.splitlines()[1].startswith('API_SEGMENT_NOT_FOUND_OR_DELETED,,nowhere,"a,b"')
    assert errors.headers["content-disposition"] == 'attachment; filename="error-stream.csv"'
