import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.errors import StateDamaged
from segctl.core.fingerprints import Basis, SourceCounts
from segctl.core.identity import SetDigest
from segctl.manifests.desired import Lifecycle
from segctl.manifests.limits import Guards
from segctl.state.codec import EDITED, decode, encode, salvage
from segctl.state.model import (
    EMPTY_STATE,
    FileRef,
    MemberSet,
    Pairs,
    SegmentRecord,
    State,
    Tombstone,
)
from segctl.state.restrictions import Restriction, RestrictionKey
from segctl.state.shapes import Shapes
from segctl.state.usage import MonthUsage

GOLDEN = Path(__file__).parent / "golden"

counts = st.integers(min_value=0, max_value=10**9)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.from_regex(r"segment\.[A-Za-z0-9]{1,8}", fullmatch=True)


digests = st.builds(SetDigest, count=counts, total=st.integers(0, 2**128 - 1))


def refs(rows: st.SearchStrategy[int]) -> st.SearchStrategy[FileRef]:
    name = st.integers(0, 2**256 - 1).map("{:064x}.parquet".format)
    return st.builds(FileRef, name=name, rows=rows, bytes=counts)


def refs_of(rows: int) -> st.SearchStrategy[FileRef | None]:
    return refs(st.just(rows)) if rows else st.none()


@st.composite
def member_sets(draw: st.DrawFn) -> MemberSet:
    """Generate sets whose digest can be the count of their files."""
    base = draw(st.none() | refs(st.integers(1, 10**9)))
    changes = draw(st.lists(refs(st.integers(1, 9)), max_size=2)) if base else []
    before, changed = base.rows if base else 0, sum(ref.rows for ref in changes)
    removed = draw(st.integers(0, min(before, changed)))
    count = before + changed - 2 * removed
    total = draw(st.integers(1, 2**128 - 1)) if count else 0
    return MemberSet(digest=SetDigest(count=count, total=total), base=base, changes=tuple(changes))


@st.composite
def pair_files(draw: st.DrawFn) -> Pairs:
    uncertain, refused = draw(counts), draw(counts)
    return Pairs(file=draw(refs_of(uncertain + refused)), uncertain=uncertain, refused=refused)


records = st.builds(
    SegmentRecord,
    customer_segment_id=st.none() | texts,
    ct_segment_id=st.none() | counts,
    declared_name=texts,
    remote_name=texts,
    created=st.booleans(),
    missing=st.booleans(),
    managed=st.booleans(),
    labels=st.dictionaries(texts, texts, max_size=2),
    guards=st.builds(
        Guards,
        max_remove_percent=st.floats(0, 100),
        from_members=counts,
        allow_empty=st.booleans(),
        max_add_percent=st.none() | st.floats(0, 100),
        max_add=st.none() | counts,
    ),
    lifecycle=st.builds(
        Lifecycle, prevent_destroy=st.booleans(), on_remove=st.sampled_from(["empty", "forget"])
    ),
    members=member_sets(),
    pairs=pair_files(),
    basis=st.none()
    | st.builds(Basis, sources=texts, members=digests, held_out=counts, suppressed=counts),
    shapes=st.none()
    | st.builds(Shapes, members=digests, counts=st.dictionaries(texts, counts, max_size=2)),
)
states = st.builds(
    State,
    lineage=texts,
    serial=counts,
    account=st.none() | texts,
    host=st.none() | texts,
    segments=st.dictionaries(names, records, max_size=3),
    tombstones=st.lists(
        st.builds(Tombstone, address=names, record=records, destroyed_at=st.floats(0, 1e11)),
        max_size=2,
    ).map(tuple),
    folded=st.none() | texts,
    unfinished=st.none() | texts,
    sources=st.dictionaries(
        texts,
        st.builds(
            SourceCounts,
            rows=counts,
            duplicates=counts,
            invalid=st.dictionaries(texts, counts, max_size=2),
            others=counts,
        ),
        max_size=2,
    ),
    rules=st.lists(texts, max_size=2).map(tuple),
    member_key=st.sampled_from(["", "0123456789abcdef" * 4]),
    usage=st.lists(
        st.builds(MonthUsage, month=texts, requests=counts, events=counts), max_size=2
    ).map(tuple),
)


def file(letter: str, rows: int) -> FileRef:
    return FileRef(name=f"{letter * 64}.parquet", rows=rows, bytes=rows * 10)


EXAMPLE = State(
    lineage="5f0c",
    serial=7,
    account="TEST-ACCOUNT",
    host="in1.api.clevertap.com",
    segments={
        "segment.gold": SegmentRecord(
            customer_segment_id="SEG-GOLD",
            ct_segment_id=1700000001,
            declared_name="Gold ग्राहक",
            remote_name="Gold Users",
            labels={"team": "growth"},
            guards=Guards(max_remove_percent=60.0),
            lifecycle=Lifecycle(prevent_destroy=True),
            members=MemberSet(
                digest=SetDigest(count=12, total=255), base=file("a", 10), changes=(file("b", 2),)
            ),
            pairs=Pairs(file=file("c", 3), uncertain=2, refused=1),
            basis=Basis(
                sources="d" * 64,
                members=SetDigest(count=11, total=254),
                held_out=3,
                suppressed=4,
            ),
        ),
        "segment.council": SegmentRecord(
            customer_segment_id="council",
            declared_name="Council",
            remote_name="Council",
            missing=True,
        ),
    },
    tombstones=(
        Tombstone(
            address="segment.old",
            record=SegmentRecord(
                customer_segment_id=None,
                ct_segment_id=1700000000,
                declared_name="Old",
                remote_name="Old",
            ),
            destroyed_at=1767323045.5,
        ),
    ),
    folded="4be1",
    unfinished=f"sha256:{'0' * 64}",
    sources={"e" * 64: SourceCounts(rows=14, duplicates=1, invalid={"null": 1}, others=2)},
    rules=("f" * 64,),
)


def damage_of(data: bytes) -> str:
    with pytest.raises(StateDamaged) as caught:
        decode(data)
    return caught.value.message


@given(states)
def test_decoding_an_encoded_state_gives_the_same_state(state: State) -> None:
    assert decode(encode(state)) == state


@given(states)
def test_a_state_read_and_written_again_has_the_same_bytes(state: State) -> None:
    assert encode(decode(encode(state))) == encode(state)


def version_3() -> State:
    key = RestrictionKey(role="exclude", segments=("segment.gold",), name="out.csv")
    restriction = Restriction(key=key, rows=3, matched=1, sample=("0123456789abcdef",), similar=2)
    return replace(EXAMPLE, revision=7, restrictions=(restriction,))


def test_the_format_of_version_4_does_not_change() -> None:
    golden = (GOLDEN / "head-version-4.json").read_bytes()
    gold = replace(
        EXAMPLE.segments["segment.gold"],
        guards=Guards(max_remove_percent=60.0, max_add=0, max_new_shapes_percent=5.0),
        shapes=Shapes(members=SetDigest(count=12, total=255), counts={"email": 11, "digits:8": 1}),
    )
    state = replace(
        version_3(),
        segments={**EXAMPLE.segments, "segment.gold": gold},
        usage=(MonthUsage(month="2026-11", requests=3, events=250),),
    )
    assert encode(state, segctl_version="0.1.0") == golden
    assert decode(golden) == state


def test_a_key_is_in_the_head_and_in_no_text_of_the_value() -> None:
    state = replace(EXAMPLE, member_key="0123456789abcdef" * 4)
    assert decode(encode(state)) == state
    assert state.member_key not in repr(state)


@pytest.mark.parametrize("key", ["0123", "x" * 64, "0123456789ABCDEF" * 4])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(StateDamaged, match="member_key: expected 64 hexadecimal digits") as caught:
        decode(encode(replace(EXAMPLE, member_key=key)))
    assert key not in str(caught.value)


def test_a_head_of_version_3_says_nothing_of_what_was_sent() -> None:
    assert decode((GOLDEN / "head-version-3.json").read_bytes()) == version_3()


def test_a_head_of_version_2_can_be_read() -> None:
    assert decode((GOLDEN / "head-version-2.json").read_bytes()) == EXAMPLE


def test_a_head_of_version_1_has_no_basis_no_sources_and_no_rules() -> None:
    gold = replace(EXAMPLE.segments["segment.gold"], basis=None)
    known = replace(
        EXAMPLE, segments={**EXAMPLE.segments, "segment.gold": gold}, sources={}, rules=()
    )
    assert decode((GOLDEN / "head-version-1.json").read_bytes()) == known


def test_the_empty_state_can_be_written() -> None:
    assert decode(encode(EMPTY_STATE)) == EMPTY_STATE


def test_half_of_a_surrogate_pair_is_an_error() -> None:
    data = encode(State(lineage="\ud800", serial=1))
    assert damage_of(data) == "the state cannot be read: a text has half of a surrogate pair"


def test_an_edited_head_does_not_match_its_checksum() -> None:
    edited = encode(EXAMPLE).replace(b'"serial": 7', b'"serial": 5', 1)
    assert edited != encode(EXAMPLE)
    assert damage_of(edited) == EDITED
    assert decode(edited, edited=True) == replace(EXAMPLE, serial=5)


def test_the_layout_of_a_head_is_not_in_its_checksum() -> None:
    compact = json.dumps(json.loads(encode(EXAMPLE))).encode()
    assert decode(compact) == EXAMPLE


def test_a_head_without_its_checksum_is_an_error() -> None:
    head = json.loads(encode(EXAMPLE))
    del head["checksum"]
    assert damage_of(json.dumps(head).encode()).startswith("the state cannot be read: checksum")


def test_a_truncated_head_is_an_error() -> None:
    whole = encode(EXAMPLE)
    for length in range(len(whole.rstrip())):
        assert damage_of(whole[:length]).startswith("the state cannot be read: ")


def test_an_empty_file_is_an_error_and_not_an_empty_state() -> None:
    assert damage_of(b"") == "the state cannot be read: the file is empty"
    assert damage_of(b" \n") == "the state cannot be read: the file is empty"


def test_the_error_of_a_truncated_head_names_the_line() -> None:
    cut = encode(State(lineage="5f0c", serial=7))[:60]
    assert damage_of(cut) == "the state cannot be read: the file ends in the middle of line 3"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"serial: 4\n", "line 1, column 1: not JSON (Expecting value)"),
        (b'{"a": 1,\n<<<<<<< ours\n', "the file contains the markers of a merge conflict"),
        (b'{"a": "\xff"}', "byte 8 is not UTF-8"),
        (b'{"version": 1, "version": 1}', 'the key "version" occurs twice in one object'),
        (b'{"version": NaN}', "NaN is not JSON"),
        (b'{"version": ' + b"9" * 5000 + b"}", "the JSON contains a number with too many digits"),
        (b"[" * 100_000, "the JSON is nested too deeply"),
        (b"[]", 'it has no "version", so it is not a state of segctl'),
        (b'{"serial": 4}', 'it has no "version", so it is not a state of segctl'),
        (b'{"version": "1"}', "version: expected a whole number of 1 or more"),
        (b'{"version": 1}', "segctl_version: expected text"),
        (b'{"version": 1, "segctl_version": "0.1.0"}', '"account" is missing'),
    ],
)
def test_data_that_is_not_a_head_is_an_error_that_says_why(data: bytes, problem: str) -> None:
    assert damage_of(data) == f"the state cannot be read: {problem}"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"serial": 7', '"serial": "7"', "serial: expected a whole number, found text"),
        (
            '"serial": 7',
            '"serial": -7',
            "serial: expected a whole number, found a negative one",
        ),
        ('"serial": 7', '"sreial": 7', '"serial" is missing'),
        ('"serial": 7', '"serial": 7, "colour": 1', 'unknown field "colour"'),
        (
            '"rows": 10',
            '"rows": null',
            ('segments["segment.gold"].members.base.rows: expected a whole number, found null'),
        ),
        (
            '"12:000',
            '"12:0',
            (
                'segments["segment.gold"].members.digest: '
                "expected a digest: a count, a colon and 32 hexadecimal digits"
            ),
        ),
        (
            '"segment.gold"',
            '"segment./etc"',
            '"segment./etc" is not an address such as segment.gold',
        ),
        (
            "a" * 64,
            "../" * 20,
            "the name of a file of segment.gold is not 64 hexadecimal digits and .parquet",
        ),
        (
            '"on_remove": "empty"',
            '"on_remove": "burn"',
            'segments["segment.council"].lifecycle.on_remove: expected one of empty, forget',
        ),
        (
            "60.0",
            "1e999",
            (
                'segments["segment.gold"].guards.max_remove_percent: '
                "expected a number, found one that is too large"
            ),
        ),
    ],
)
def test_a_wrong_value_is_an_error_with_its_path(old: str, new: str, problem: str) -> None:
    text = encode(EXAMPLE).decode()
    assert old in text
    assert damage_of(text.replace(old, new, 1).encode()) == f"the state cannot be read: {problem}"


def test_a_newer_head_is_an_error_that_names_its_segctl_version() -> None:
    data = b'{"version": 5, "segctl_version": "3.4.0", "unknown": []}'
    with pytest.raises(StateDamaged) as caught:
        decode(data)
    assert caught.value.message.startswith("the state was written by segctl 3.4.0 in format 5; ")
    assert caught.value.hint == "Upgrade segctl to 3.4.0 or newer."


def test_the_hint_warns_against_starting_over() -> None:
    with pytest.raises(StateDamaged) as caught:
        decode(b"")
    assert "every member would be added again" in caught.value.hint


def encode_gold(members: MemberSet, pairs: Pairs) -> bytes:
    record = SegmentRecord(
        customer_segment_id="gold",
        declared_name="Gold",
        remote_name="Gold",
        members=members,
        pairs=pairs,
    )
    return encode(State(lineage="5f0c", serial=1, segments={"segment.gold": record}))


@pytest.mark.parametrize(
    ("members", "pairs", "problem"),
    [
        (
            MemberSet(digest=SetDigest(count=3, total=5), base=file("a", 2)),
            Pairs(),
            "segment.gold cannot have 3 members: its files contain 2",
        ),
        (
            MemberSet(
                digest=SetDigest(count=14, total=5), base=file("a", 10), changes=(file("b", 3),)
            ),
            Pairs(),
            "segment.gold cannot have 14 members: its files contain 10 and 3 changes",
        ),
        (
            MemberSet(digest=SetDigest(count=0, total=5)),
            Pairs(),
            "segment.gold has no members, but its digest is not that of an empty set",
        ),
        (
            MemberSet(),
            Pairs(file=file("c", 3), uncertain=2),
            "segment.gold cannot have 2 uncertain and refused pairs: its file contains 3",
        ),
    ],
)
def test_a_head_with_impossible_counts_is_an_error(
    members: MemberSet, pairs: Pairs, problem: str
) -> None:
    assert damage_of(encode_gold(members, pairs)) == f"the state cannot be read: {problem}"


def test_salvage_returns_the_intact_records_of_a_damaged_head() -> None:
    head = json.loads(encode(EXAMPLE))
    head["segments"]["segment.gold"]["pairs"]["uncertain"] = 7
    del head["segments"]["segment.council"]["missing"]
    head["serial"] = -1
    found, problems = salvage(json.dumps(head).encode())
    assert [address for address, _ in found] == ["segment.old"]
    assert problems == [
        'segment.council: "missing" is missing',
        "segment.gold cannot have 8 uncertain and refused pairs: its file contains 3",
        "serial: expected a whole number, found a negative one",
    ]


@pytest.mark.parametrize("head", [b"", b"[]", b"{", b"\xff"])
def test_salvage_returns_nothing_of_data_that_is_not_a_head(head: bytes) -> None:
    found, [problem] = salvage(head)
    assert found == []
    assert problem
