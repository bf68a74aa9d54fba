"""Parsing an Error Stream, as people export it or copy it from the dashboard."""

import csv
import io
import json
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


def rows(rejects: Rejects) -> list[tuple[str | None, str | None, str, str]]:
    details = [rejects.details[index] for index in rejects.detail_indexes]
    return [
        (each.ct_segment_id, each.customer_segment_id, user, each.type)
        for each, user in zip(details, rejects.users, strict=True)
    ]


def parse(data: bytes) -> Rejects:
    return parse_error_stream(data, file="stream")


def problems(data: bytes) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        parse(data)
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
    "whole numbers with a decimal point, as a spreadsheet saves them": (
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
    "JSON Lines": (
        '{"segment_id": 12, "customer_segment_id": "SEG-GOLD", "identity": "anna@example.com", '
        f'"type": "{SEGMENT_NOT_FOUND}"}}\n\n'
        '{"segment_id": null, "customer_segment_id": "vip", "identity": null, "guid": "0012345", '
        f'"type": "{SEGMENT_NOT_FOUND}"}}\n'
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_stream_has_the_same_rows(form: str) -> None:
    assert rows(parse(FORMS[form].encode())) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_encodings_of_spreadsheets_are_read(encoding: str) -> None:
    assert rows(parse(FORMS["exported CSV"].encode(encoding))) == EXPECTED


@pytest.mark.parametrize("data", [b"[]", b'{"data": []}', b'{"status": "ok", "errors": [ ]}'])
def test_a_stream_without_entries_has_no_rows(data: bytes) -> None:
    assert len(parse(data)) == 0


def test_a_number_is_read_as_a_user_digit_by_digit() -> None:
    data = b'[{"segment_id": 1, "identity": 919812345678}, {"segment_id": 1, "identity": 1.50}]'
    assert list(parse(data).users) == ["919812345678", "1.50"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-02T10:00:00Z", 1767348000.0),
        ("2026-01-02T15:30:00+05:30", 1767348000.0),
        ("1767348000", 1767348000.0),
        ("1767348000000", 1767348000.0),
        ("2026-01-02 10:00:00", None),  # without a zone
        ("Jan 2, 2026, 10:00 AM", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_a_time_is_read_only_with_a_zone(text: str, seconds: float | None) -> None:
    data = f"segment id\tidentity\ttimestamp\n1\ta\t{text}\n".encode()
    assert list(parse(data).times) == [seconds]


def test_an_unknown_type_is_kept_and_cut() -> None:
    data = f"segment id,identity,type\n1,a,Invalid User\n1,b,{'x' * 500}\n".encode()
    assert [row[3] for row in rows(parse(data))] == [
        "Invalid User",
        "x" * 100,
    ]


def test_a_row_may_lack_its_user_or_its_segment_if_its_type_says_so() -> None:
    data = f"segment id,identity,type\n1,,{EMPTY_IDENTITY}\n,a,{NO_SEGMENT_ID}\n".encode()
    assert rows(parse(data)) == [
        ("1", None, "", EMPTY_IDENTITY),
        (None, None, "a", NO_SEGMENT_ID),
    ]


def test_every_unusable_row_is_reported_by_its_line_and_not_quoted() -> None:
    data = (
        b"Segment ID,Customer Segment ID,User Identity,type\n"
        b",SEG-GOLD,,\n"
        b",,anna@example.com,\n"
        b',SEG-GOLD,"two\nlines",\n'
        b"1.7E+09,,anna@example.com,\n"
        b",SEG-GOLD,anna@example.com,,,surplus\n"
    )
    assert problems(data) == [
        "stream:2: the row does not name a user",
        "stream:3: the row does not name a segment",
        "stream:6: the Segment ID is not a whole number; a spreadsheet may have reformatted it",
        "stream:7: the row has more values than the header has columns",
    ]


def test_unusable_entries_of_json_are_reported_by_their_lines() -> None:
    data = (
        b'[\n{"segment_id": 1, "identity": "a"},\n\n7,\n{"segment_id": 1, "identity": true},'
        b'\n{"segment_id": 1, "identity": "\\ud800"}\n]'
    )
    assert problems(data) == [
        "stream:4: the entry is not a JSON object",
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
            "stream:1: there is no header with a column of users and a column of segments",
        ),
        (
            b'segment id,identity\n1,a\n1,"b\n1,c\n',
            "stream:3: a quoted value is not closed correctly",
        ),
        (b'[{"segment_id": 1, "identity": "a"}', "stream:1: the file ends in the middle"),
        (b'[{"segment_id": 1,\n"identity": "a', "stream:2: the file ends in the middle"),
        (b'[{"segment_id": 1, identity: "a"}]', "stream:1: this is not JSON"),
        (b'{"data": [{"segment_id": 1, "identity": "a"}\n', "stream:2: the file ends in"),
        (b"[" * 100_000, "stream:1: "),
        (b'{"a":' * 100_000, "stream:1: "),
    ],
)
def test_a_file_that_is_not_a_stream_is_an_error_with_a_line(data: bytes, problem: str) -> None:
    [*_, last] = problems(data)
    assert last.startswith(problem)
    assert "example.com" not in last


def test_problems_beyond_a_hundred_are_counted() -> None:
    found = problems(b"segment id,identity\n" + b"1,\n" * 250)
    assert len(found) == LISTED_PROBLEMS + 1
    assert found[-1] == "stream: 150 more rows cannot be used"


words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=8)
users = words.filter(lambda word: word.strip(" \t\r\n\xa0\u200b\ufeff") == word)
entries = st.lists(st.tuples(st.sampled_from(ERROR_TYPES), st.integers(0, 99), users), min_size=1)


def parsed_entries(data: bytes) -> list[tuple[str, int, str]]:
    return [(type_, int(ct or ""), user) for ct, _, user, type_ in rows(parse(data))]


@given(entries, st.sampled_from("\t,;|"))
def test_any_csv_is_read_as_it_was_written(
    written: list[tuple[str, int, str]], delimiter: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(("Error Type", "Segment ID", "User Identity"))
    writer.writerows(written)
    assert parsed_entries(text.getvalue().encode()) == written


@given(entries, st.booleans(), st.none() | st.integers(0, 3))
def test_any_json_is_read_as_it_was_written(
    written: list[tuple[str, int, str]], ascii_: bool, indent: int | None
) -> None:
    objects = [{"type": t, "segment_id": ct, "identity": user} for t, ct, user in written]
    array = json.dumps(objects, ensure_ascii=ascii_, indent=indent)
    lines = "\n".join(json.dumps(o, ensure_ascii=ascii_) for o in objects)
    for text in (array, f'{{"page": 1, "rows": {array}}}', lines):
        assert parsed_entries(text.encode()) == written


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_parsed_or_are_an_input_error(data: bytes) -> None:
    with suppress(InvalidInput):
        found = parse(data)
        assert len(found.detail_indexes) == len(found.times) == len(found)


def test_repeated_details_of_many_rows_are_stored_once() -> None:
    line = "API_SEGMENT_NOT_FOUND_OR_DELETED,12,SEG-GOLD,user{}@example.com\n"
    text = "type,segment id,customer segment id,user identity\n"
    found = parse((text + "".join(line.format(n) for n in range(100_000))).encode())
    assert (len(found), len(found.details)) == (100_000, 1)
