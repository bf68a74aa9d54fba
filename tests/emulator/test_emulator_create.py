"""createSegment: what the vendor's pages say about it."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Client, Clock


def entry(number: int) -> dict[str, Any]:
    return {"segment_name": f"Segment {number}", "customer_segment_id": f"SEG-{number}"}


def post(client: "Client", document: Any) -> Any:
    return client.call("POST", "/api/createSegment", json=document)


def test_a_segment_is_created_from_a_name_and_the_customers_id(client: "Client") -> None:
    post(client, [{"segment_name": "Gold Users", "customer_segment_id": "SEG12345"}])
    (segment,) = client.read("segments")
    assert segment["segment_name"] == "Gold Users"
    assert segment["customer_segment_id"] == "SEG12345"
    assert (segment["members"], segment["deleted"]) == (0, False)


def test_clevertap_makes_an_id_that_looks_like_seconds_since_1970(
    client: "Client", clock: "Clock"
) -> None:
    answers = post(client, [entry(1), entry(2)]).json()
    assert [each["id"] for each in answers] == [int(clock.now), int(clock.now) + 1]


def test_ids_are_unique_even_within_one_second(client: "Client", other: "Client") -> None:
    ids = [*client.create("a", "b").values(), *other.create("a", "b").values()]
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        ["x"],
        "x",
        [{"customer_segment_id": "a"}],
        [{"segment_name": "", "customer_segment_id": "a"}],
        [{"segment_name": 1, "customer_segment_id": "a"}],
        [{"segment_name": "a", "customer_segment_id": " "}],
        [{"segment_name": "a", "customer_segment_id": 5}],
    ],
)
def test_name_and_customer_id_are_strings_and_a_name_is_required(
    client: "Client", document: Any
) -> None:
    answer = post(client, document)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)


@pytest.mark.parametrize(
    "left_out", [{}, {"customer_segment_id": None}, {"customer_segment_id": ""}]
)
def test_a_segment_without_a_customer_id_is_addressed_by_clevertaps_id(
    client: "Client", left_out: dict[str, Any]
) -> None:
    (made, _) = post(client, [{"segment_name": "Gold", **left_out}, {"segment_name": "B"}]).json()
    assert made["customer_segment_id"] is None
    client.update(["a"], [{"ct_segment_id": made["id"], "action": "ADD"}])
    client.update(["b"], [{"ct_segment_id": made["id"], "action": "DROP"}])
    assert [each["members"] for each in client.read("segments")] == [1, 0]
    assert client.read("events")[0]["event_props"]["Customer_Segment_ID"] is None
    (error,) = client.read("error-stream")
    assert (error["Segment ID"], error["Customer Segment ID"]) == (made["id"], None)
    assert f",{made['id']},,b," in client.call("GET", "/emulator/v1/error-stream?format=csv").text
    for page in ("/", f"/segments/{made['id']}", "/errors"):
        assert "None" not in client.call("GET", page).text


def test_a_name_is_unique_within_a_request(client: "Client") -> None:
    same = [{**entry(1), "segment_name": "Same"}, {**entry(2), "segment_name": "Same"}]
    assert post(client, same).status_code == 400
    assert client.read("segments") == []


def test_a_name_may_be_used_again_in_another_request(client: "Client") -> None:
    for number in (1, 2):
        assert post(client, [{**entry(number), "segment_name": "Same"}]).status_code == 200


def test_a_customer_id_is_unique_across_all_requests(client: "Client") -> None:
    assert post(client, [entry(1)]).status_code == 200
    again = post(client, [{**entry(1), "segment_name": "Other"}, entry(2)])
    assert (again.status_code, again.json()["code"]) == (409, 409)
    assert len(client.read("segments")) == 1


def test_another_account_may_use_the_same_customer_id(client: "Client", other: "Client") -> None:
    client.create("gold")
    other.create("gold")
    other.update(["a"], [("gold", "ADD")])
    assert (client.members("gold"), other.members("gold")) == ([], ["a"])


def test_a_request_creates_at_most_100_segments(client: "Client") -> None:
    assert post(client, [entry(n) for n in range(100)]).status_code == 200
    answer = post(client, [entry(n) for n in range(1000, 1101)])
    assert (answer.status_code, answer.json()["code"]) == (400, 100)


def test_an_account_has_at_most_2500_segments(client: "Client") -> None:
    for start in range(0, 2500, 100):
        assert post(client, [entry(n) for n in range(start, start + 100)]).status_code == 200
    assert post(client, [entry(2500)]).status_code == 400
    oldest = client.read("segments")[0]["ct_segment_id"]
    client.call("DELETE", f"/emulator/v1/segments/{oldest}")
    assert post(client, [entry(2500)]).status_code == 200


def test_creating_raises_no_event_and_costs_nothing(client: "Client") -> None:
    client.create("gold")
    stats = client.read("stats")
    assert (stats["events"], stats["data_points"]) == (0, 0)
