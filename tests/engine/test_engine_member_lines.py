"""Lines of members that SQL makes are those that Python would make."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.identity import Kind
from segctl.core.member_hash import KEY_DIGITS, hash_member
from segctl.engine import sql
from segctl.engine.line_sql import select_lines

MEMBER = "SELECT 'guid' AS kind, $1::VARCHAR AS value"
KEY = "5" * KEY_DIGITS
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80)


@pytest.mark.hypothesis
@given(value=VALUES)
def test_sql_and_python_agree_on_a_hash(value: str) -> None:
    select = select_lines(MEMBER, hashed=True, with_kind=False)
    with duckdb.connect() as db:
        db.execute(f"SET VARIABLE {sql.MEMBER_KEY} = $1", [KEY])
        [[line]] = db.execute(select, [value]).fetchall()
    assert line == f"#{hash_member(KEY, Kind.GUID, value)}"


def test_a_value_cannot_add_a_line_or_a_column() -> None:
    select = select_lines(MEMBER, hashed=False, with_kind=True)
    with duckdb.connect() as db:
        [[line]] = db.execute(select, ["a\nb\tc"]).fetchall()
    assert line == "a\ufffdb\ufffdc\tguid"
