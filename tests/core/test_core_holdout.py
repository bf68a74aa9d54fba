"""Who is held out follows from the documented hash."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.holdout import Holdout
from segctl.core.identity import Kind


@settings(max_examples=50)
@given(st.text(min_size=1, max_size=20), st.text("ab:\N{SNOWMAN}", max_size=9), st.floats(0, 100))
def test_a_user_is_held_out_by_the_documented_hash(value: str, salt: str, percent: float) -> None:
    hashed = hashlib.sha256(f"{salt}\x1fg{value}".encode()).hexdigest()[:16]
    holdout = Holdout(percent=percent, salt=salt)
    share = int(hashed, 16) / 2**64
    if abs(share - percent / 100) > 1e-12:
        assert holdout.holds_out(Kind.GUID, value) == (share < percent / 100)


def test_a_larger_share_holds_out_the_same_users_and_more() -> None:
    users = [f"user{n}@example.com" for n in range(2000)]
    small, large = Holdout(percent=5, salt="spring"), Holdout(percent=7.5, salt="spring")
    held_out = {u for u in users if small.holds_out(Kind.IDENTITY, u)}
    assert held_out < {u for u in users if large.holds_out(Kind.IDENTITY, u)}
    assert 70 < len(held_out) < 130
