"""The state as a reader sees it: the record of each segment, without its members."""

import json
from dataclasses import replace

import pytest

from segctl.core.identity import SetDigest
from segctl.render import state_view
from segctl.state.model import EMPTY_STATE, MemberSet, Pairs, SegmentRecord, State, Tombstone

GOLD = SegmentRecord(
    customer_segment_id="SEG-GOLD",
    ct_segment_id=12,
    declared_name="Gold Users",
    remote_name="Gold",
    labels={"team": "growth"},
    members=MemberSet(digest=SetDigest(count=12_004, total=7)),
    pairs=Pairs(uncertain=3, refused=2),
)
PLAIN = SegmentRecord(customer_segment_id="loyal", declared_name="Loyal", remote_name="Loyal")
STATE = State(
    lineage="0b54a1c2",
    serial=4,
    account="TEST-ACCOUNT",
    host="in1.api.clevertap.com",
    segments={"segment.loyal": PLAIN, "segment.gold": GOLD},
    tombstones=(Tombstone(address="segment.gone", record=PLAIN, destroyed_at=1.0),),
)


def test_an_empty_state_says_so() -> None:
    assert (
        state_view.render_text(EMPTY_STATE) == "The state is empty: nothing has been applied yet.\n"
    )


def test_a_segment_shows_its_record_and_its_uncertain_and_refused_members() -> None:
    assert state_view.render_segment("segment.gold", GOLD) == (
        "# segment.gold\n"
        'segment "gold" {\n'
        '    displayName       = "Gold Users"\n'
        '    nameInCleverTap   = "Gold"\n'
        '    customerSegmentId = "SEG-GOLD"\n'
        "    ctSegmentId       = 12\n"
        '    labels            = {"team": "growth"}\n'
        "    members           = 12,004\n"
        "    uncertain         = 3\n"
        "    refused           = 2\n"
        "}\n"
    )


def test_a_segment_that_the_service_does_not_find_says_so() -> None:
    shown = state_view.render_segment("segment.loyal", replace(PLAIN, missing=True))
    assert "missing           = CleverTap does not find it, or it was deleted there\n" in shown


def test_the_page_names_history_account_and_tombstones() -> None:
    page = state_view.render_text(STATE)
    assert page.startswith(
        "lineage: 0b54a1c2\nserial: 4\naccount: TEST-ACCOUNT\nhost: in1.api.clevertap.com\n"
    )
    assert page.index("segment.gold") < page.index("segment.loyal")
    assert page.endswith(
        "# 1 destroyed segment: its shell is still in CleverTap\n"
        '#   segment.gone = "Loyal" (loyal, 0 members left)\n'
    )


def test_addresses_are_sorted_one_per_line() -> None:
    assert state_view.render_addresses(STATE.segments) == "segment.gold\nsegment.loyal\n"


def test_the_document_counts_members() -> None:
    document = json.loads(state_view.render_json(STATE))
    assert document["serial"] == 4
    assert [s["address"] for s in document["segments"]] == ["segment.gold", "segment.loyal"]
    assert document["segments"][0]["members"] == 12_004
    assert document["tombstones"][0]["address"] == "segment.gone"


@pytest.mark.parametrize("evil", ["\x1b[2J", "\n", "\u202e"])
def test_a_recorded_name_cannot_control_the_terminal(evil: str) -> None:
    record = SegmentRecord(customer_segment_id=evil, declared_name=evil, remote_name="x")
    page = state_view.render_segment("segment.trap", record)
    assert len(page.splitlines()) == 7
    assert all(line.isprintable() for line in page.splitlines())
