"""The marker is the first line of a comment, and nothing else can be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.forges.marker import Marker, comment_key, parse_marker

DIGEST = f"sha256:{'0' * 64}"
MARKER = Marker(key="0123456789abcdef", plan=DIGEST, head="a" * 40)


@pytest.mark.parametrize("head", ["", "a" * 40])
@pytest.mark.parametrize("plan", [DIGEST, "refused", "failed"])
def test_a_marker_is_read_as_it_was_written(plan: str, head: str) -> None:
    marker = Marker(key="0123456789abcdef", plan=plan, head=head)
    assert parse_marker(f"{marker}\n### Plan") == marker
    assert parse_marker(f"{marker}\r\n### Plan") == marker
    assert marker.digest == (DIGEST if plan == DIGEST else None)


@given(before=st.text(min_size=1), after=st.text())
def test_a_marker_below_or_beside_other_text_is_none(before: str, after: str) -> None:
    assert parse_marker(f"{before}\n{MARKER}\n{after}") in (None, parse_marker(before))
    if before.strip():
        assert parse_marker(f"{before}{MARKER}") is None


def test_a_quoted_marker_is_none() -> None:
    assert parse_marker(f"> {MARKER}\n> text") is None


@given(st.lists(st.tuples(st.text(), st.text()), unique=True, min_size=2, max_size=2))
def test_each_workspace_and_environment_has_its_own_key(places: list[tuple[str, str]]) -> None:
    first, second = places
    if "\0" not in "".join((*first, *second)):
        assert comment_key(*first) != comment_key(*second)
