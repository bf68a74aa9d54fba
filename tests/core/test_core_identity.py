"""What makes a user key invalid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core import identity
from segctl.core.identity import MAX_CHARACTERS, NULL_MARKS, PLACEHOLDERS, find_problem

texts = st.text(st.sampled_from("aAeE019+-.=@ \n\u00a0é"), max_size=20)
common = st.from_regex(identity._COMMON, fullmatch=True)


@given(texts | common)
def test_a_common_key_passes_every_check(value: str) -> None:
    expected = next((p for p, applies in identity._CHECKS if applies(value)), None)
    assert find_problem(value) == expected


@pytest.mark.parametrize("mark", sorted(PLACEHOLDERS | NULL_MARKS))
def test_no_mark_is_a_common_key(mark: str) -> None:
    for spelling in (mark, mark.upper()):
        assert find_problem(spelling) is not None


@pytest.mark.parametrize("pattern", ["{}@example.com", "9{}", "a{}"])
def test_a_common_key_can_be_too_long(pattern: str) -> None:
    longest = MAX_CHARACTERS - len(pattern.format(""))
    digits = "1" * longest
    assert find_problem(pattern.format(digits)) is None
    assert find_problem(pattern.format(digits + "1")) is identity.IdentityProblem.LONG
