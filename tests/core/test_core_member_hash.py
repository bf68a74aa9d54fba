"""Hashes of members: the same in every version, and read however people copy them."""

import pytest

from segctl.core.identity import Kind
from segctl.core.member_hash import KEY_DIGITS, hash_member, parse_hash

KEY = "5" * KEY_DIGITS


@pytest.mark.parametrize(
    ("kind", "expected"), [(Kind.IDENTITY, "9f3c3a6bbc"), (Kind.GUID, "55260de170")]
)
def test_a_hash_never_changes(kind: Kind, expected: str) -> None:
    assert hash_member(KEY, kind, "ada@example.com") == expected


def test_another_key_gives_another_hash() -> None:
    assert hash_member("6" * KEY_DIGITS, Kind.IDENTITY, "ada@example.com") != "9f3c3a6bbc"


@pytest.mark.parametrize("text", ["9f3c3a6bbc", "#9F3C3A6BBC", "`#9f3c3a6bbc`,", " #9f3c3a6bbc\n"])
def test_a_hash_is_read_as_people_copy_it(text: str) -> None:
    assert parse_hash(text) == "9f3c3a6bbc"


@pytest.mark.parametrize("text", ["", "#", "9f3c3a6bb", "9f3c3a6bbc1", "9f3c3a6bbg", "9f3c 3a6bb"])
def test_what_is_no_hash_is_none(text: str) -> None:
    assert parse_hash(text) is None
