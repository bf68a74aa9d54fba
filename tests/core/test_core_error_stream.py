"""An Error Stream as it is exported or copied, read into columns."""

import csv
import io
import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.error_stream import LISTED_PROBLEMS, parse_error_stream
from segctl.core.errors import InvalidInput
from segctl.core.rejects import (
    EMPTY_IDENTITY,
    ERROR_TYPES,
    NO_SEGMENT_ID,
    SEGMENT_NOT_FOUND,
    Rejects,
)


def rows(found: Rejects) -> list[tuple[str | None, str | None, str, str]]:
    labels = [found.details[n] for n in found.detail_indexes]
    return [
        (label.ct_segment_id, label.customer_segment_id, user, label.type)
        for label, user in zip(labels, found.users, strict=True)
    ]


def problems(data: bytes) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        parse_error_stream(data, file="stream")
    return [f"{d.location}: {d.summary}" for d in caught.value.diagnostics]


EXPECTED = [
    ("12", "SEG-GOLD", "anna@example.com", SEGMENT_NOT_FOUND),
    (None, "vip", "0012345", SEGMENT_NOT_FOUND),
]

FORMS = {
    "exported CSV": (
        "Error Type,Segment ID,Customer Segment ID,User Identity,Time\n"
        "API_SEGMENT_NOT_FOUND_OR_DELETED,12,SEG-GOLD,anna@example.com,2026-01-02T10:00:00Z\n"
        "API_SEGMENT_NOT_FOUND_OR_DELETED,,vip,0012345,2026-01-02T10:00:00Z\n"
    ),
    "tabs under a title, as a table is copied": (
        "Error Stream\nShowing 1 to 2 of 2\n\n"
        "Segment ID\tCustomer_Segment_ID\tUser Identity\ttype\t\n"
        "12\tSEG-GOLD\t anna@example.com\tAPI_SEGMENT_NOT_FOUND_OR_DELETED\t\n"
        "-\tvip\t0012345 \tAPI_SEGMENT_NOT_FOUND_OR_DELETED\n"
    ),
    "semicolons and quotes, with a byte order mark and \\r\\n": (
        '\ufeff"ct_segment_id";"customer_segment_id";"identity";"error"\r\n'
        '"12";"SEG-GOLD";"anna@example.com";"segment not found or deleted"\r\n'
        '"";"vip";"0012345";"API Segment Not Found Or Deleted"\r\n'
    ),
    "a spreadsheet's whole numbers": (
        "SEGMENT ID,CUSTOMER SEGMENT ID,GUID,TYPE\n"
        "12.0,SEG-GOLD,anna@example.com,api_segment_not_found_or_deleted\n"
        ",vip,0012345,api_segment_not_found_or_deleted\n"
    ),
    "an array": json.dumps(
        [
            {
                "Error Type": SEGMENT_NOT_FOUND,
                "Segment ID": 12,
                "Customer Segment ID": "SEG-GOLD",
                "User Identity": "anna@example.com",
            },
            {
                "Error Type": SEGMENT_NOT_FOUND,
                "Segment ID": None,
                "Customer Segment ID": "vip",
                "User Identity": "0012345",
            },
        ],
        indent=1,
    ),
    "an object around an array": (
        '{"status": "success", "next": [], "tags": ["x"], "data": {"errors": [\n'
        '{"ct_segment_id": "12", "customer_segment_id": "SEG-GOLD", '
        f'"user_identity": "anna@example.com", "type": "{SEGMENT_NOT_FOUND}"}},\n'
        '{"customer_segment_id": "vip", "guid": "0012345", '
        f'"type": "{SEGMENT_NOT_FOUND}"}}]}}, "n": 2}}'
    ),
    "JSON lines": (
        '{"segment_id": 12, "customer_segment_id": "SEG-GOLD", "identity": "anna@example.com", '
        f'"type": "{SEGMENT_NOT_FOUND}"}}\n\n'
        '{"segment_id": null, "customer_segment_id": "vip", "identity": null, "guid": "0012345", '
        f'"type": "{SEGMENT_NOT_FOUND}"}}\n'
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_stream_gives_the_same_rows(form: str) -> None:
    assert rows(parse_error_stream(FORMS[form].encode(), file="x")) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_stream_may_be_saved_by_a_spreadsheet(encoding: str) -> None:
    assert rows(parse_error_stream(FORMS["exported CSV"].encode(encoding), file="x")) == EXPECTED


@pytest.mark.parametrize("data", [b"[]", b'{"data": []}', b'{"status": "ok", "errors": [ ]}'])
def test_a_stream_without_entries_is_fine(data: bytes) -> None:
    assert len(parse_error_stream(data, file="x")) == 0


def test_a_number_is_a_user_by_its_digits_as_written() -> None:
    data = b'[{"segment_id": 1, "identity": 919812345678}, {"segment_id": 1, "identity": 1.50}]'
    assert list(parse_error_stream(data, file="x").users) == ["919812345678", "1.50"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-02T10:00:00Z", 1767348000.0),
        ("2026-01-02T15:30:00+05:30", 1767348000.0),
        ("1767348000", 1767348000.0),
        ("1767348000000", 1767348000.0),
        ("2026-01-02 10:00:00", None),  # in a zone that nobody knows
        ("Jan 2, 2026, 10:00 AM", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_a_time_counts_where_it_says_in_which_zone(text: str, seconds: float | None) -> None:
    data = f"segment id\tidentity\ttimestamp\n1\ta\t{text}\n".encode()
    assert list(parse_error_stream(data, file="x").times) == [seconds]


def test_an_unknown_type_is_kept_as_it_is_and_short() -> None:
    data = f"segment id,identity,type\n1,a,Invalid User\n1,b,{'x' * 500}\n".encode()
    assert [row[3] for row in rows(parse_error_stream(data, file="x"))] == [
        "Invalid User",
        "x" * 100,
    ]


def test_rows_about_nobody_and_about_no_segment_are_rows_where_their_type_says_so() -> None:
    data = f"segment id,identity,type\n1,,{EMPTY_IDENTITY}\n,a,{NO_SEGMENT_ID}\n".encode()
    assert rows(parse_error_stream(data, file="x")) == [
        ("1", None, "", EMPTY_IDENTITY),
        (None, None, "a", NO_SEGMENT_ID),
    ]


def test_every_unusable_row_is_told_by_its_line_and_none_is_quoted() -> None:
    data = (
        b"Segment ID,Customer Segment ID,User Identity,type\n"
        b",SEG-GOLD,,\n"
        b",,anna@example.com,\n"
        b',SEG-GOLD,"two\nlines",\n'
        b"1.7E+09,,anna@example.com,\n"
        b",SEG-GOLD,anna@example.com,,,surplus\n"
    )
    assert problems(data) == [
        "stream:2: the row names no user",
        "stream:3: the row names no segment",
        "stream:6: its Segment ID is no whole number; a spreadsheet may have changed it",
        "stream:7: the row has more values than the header has columns",
    ]


def test_unusable_entries_of_json_are_told_by_their_lines() -> None:
    data = (
        b'[\n{"segment_id": 1, "identity": "a"},\n\n7,\n{"segment_id": 1, "identity": true},'
        b'\n{"segment_id": 1, "identity": "\\ud800"}\n]'
    )
    assert problems(data) == [
        "stream:4: the entry is no JSON object",
        "stream:5: the entry has a value that is neither text nor a number",
        "stream:6: the entry has a value that is not Unicode text",
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "stream:1: the file is empty"),
        (b"\n \n", "stream:1: the file is empty"),
        (b"segment id,identity\n1,\xff\n", "stream:2: the file is not UTF-8"),
        (
            b"1,anna@example.com\n",
            "stream:1: there is no header line that names a column of users and one of segments",
        ),
        (
            b'segment id,identity\n1,a\n1,"b\n1,c\n',
            "stream:3: a quoted value does not end where it should",
        ),
        (b'[{"segment_id": 1, "identity": "a"}', "stream:1: the file ends in the middle"),
        (b'[{"segment_id": 1,\n"identity": "a', "stream:2: the file ends in the middle"),
        (b'[{"segment_id": 1, identity: "a"}]', "stream:1: this is not JSON"),
        (b'{"data": [{"segment_id": 1, "identity": "a"}\n', "stream:2: the file ends in"),
        (b"[" * 100_000, "stream:1: "),
        (b'{"a":' * 100_000, "stream:1: "),
    ],
)
def test_a_file_that_is_no_stream_is_told_from_where_on(data: bytes, problem: str) -> None:
    [*_, told] = problems(data)
    assert told.startswith(problem)
    assert "example.com" not in told


def test_problems_beyond_a_hundred_are_counted() -> None:
    told = problems(b"segment id,identity\n" + b"1,\n" * 250)
    assert len(told) == LISTED_PROBLEMS + 1
    assert told[-1] == "stream: 150 more rows cannot be used"


words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=8)
users = words.filter(lambda word: word.strip(" \t\r\n\xa0\u200b\ufeff") == word)
entries = st.lists(st.tuples(st.sampled_from(ERROR_TYPES), st.integers(0, 99), users), min_size=1)


def told(found: Rejects) -> list[tuple[str, int, str]]:
    return [(type_, int(ct or ""), user) for ct, _, user, type_ in rows(found)]


@given(entries, st.sampled_from("\t,;|"))
def test_whatever_csv_can_hold_is_read_back(
    found: list[tuple[str, int, str]], delimiter: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(("Error Type", "Segment ID", "User Identity"))
    writer.writerows(found)
    assert told(parse_error_stream(text.getvalue().encode(), file="x")) == found


@given(entries, st.booleans(), st.none() | st.integers(0, 3))
def test_whatever_json_can_hold_is_read_back(
    found: list[tuple[str, int, str]], ascii_: bool, indent: int | None
) -> None:
    objects = [{"type": t, "segment_id": ct, "identity": user} for t, ct, user in found]
    array = json.dumps(objects, ensure_ascii=ascii_, indent=indent)
    lines = "\n".join(json.dumps(o, ensure_ascii=ascii_) for o in objects)
    for text in (array, f'{{"page": 1, "rows": {array}}}', lines):
        assert told(parse_error_stream(text.encode(), file="x")) == found


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_told_to_be_unusable(data: bytes) -> None:
    with suppress(InvalidInput):
        found = parse_error_stream(data, file="x")
        assert len(found.detail_indexes) == len(found.times) == len(found)


def test_a_hundred_thousand_rows_take_no_more_than_seconds() -> None:
    line = "API_SEGMENT_NOT_FOUND_OR_DELETED,12,SEG-GOLD,user{}@example.com\n"
    text = "type,segment id,customer segment id,user identity\n"
    data = (text + "".join(line.format(n) for n in range(100_000))).encode()
    begun = time.process_time()
    found = parse_error_stream(data, file="x")
    assert time.process_time() - begun < 5
    assert (len(found), len(found.details)) == (100_000, 1)
