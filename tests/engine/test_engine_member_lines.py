"""Lines of members that SQL makes are those that Python would make."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.identity import mask_identity
from segctl.engine.line_sql import select_lines

MEMBER = "SELECT 'guid' AS kind, $1::VARCHAR AS value"
PARTS = st.sampled_from(["@", ".", "..", "a", "é", "😀", "example.com", "user", "0", " "])
VALUES = st.one_of(
    st.lists(PARTS, max_size=14).map("".join),
    st.text(st.characters(exclude_characters="\n\t\0", exclude_categories=["Cs"]), max_size=40),
)


@pytest.mark.hypothesis
@given(value=VALUES)
def test_a_masked_line_is_masked_as_everywhere(value: str) -> None:
    select = select_lines(MEMBER, masked=True, with_kind=False)
    with duckdb.connect() as db:
        assert db.execute(select, [value]).fetchall() == [(mask_identity(value),)]


def test_a_value_cannot_add_a_line_or_a_column() -> None:
    select = select_lines(MEMBER, masked=False, with_kind=True)
    with duckdb.connect() as db:
        [[line]] = db.execute(select, ["a\nb\tc"]).fetchall()
    assert line == "a\ufffdb\ufffdc\tguid"
