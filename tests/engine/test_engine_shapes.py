from pathlib import Path

import pytest

from segctl.core.identity import Kind, SetDigest
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import InlineRows
from segctl.state.shapes import MAX_SHAPES, Shapes, advance_shapes, find_new_shapes
from tests.engine.engine_kit import inline, recorded_files

FORMS = {
    "10000001": "digits:8",
    "007": "digits:3",
    "+919812345678": "+digits:12",
    "123e4567-e89b-12d3-a456-426614174000": "uuid",
    "123E4567-E89B-12D3-A456-426614174000": "UUID",
    "d41d8cd98f00b204e9800998ecf8427e": "hex:32",
    "D41D8CD98F00B204E9800998ECF8427E": "HEX:32",
    "ada@example.com": "email",
    "Ada.Lovelace+x@mail.example.com": "email",
    "ada@localhost": "a@",
    "CUST-00123": "A9-",
    "user_12": "a9_",
    "o'brien 2": "a9!u",
    "résumé": "au",
    "cafe": "a",
}


@pytest.mark.parametrize(("value", "shape"), FORMS.items())
def test_a_shape_says_the_form_of_a_key_and_nothing_of_its_content(
    engine: DuckEngine, value: str, shape: str
) -> None:
    engine.load(inline(value), targets=[0])
    engine.set_recorded(0, recorded_files(Path(), []), wanted=True)
    engine.diff()
    assert engine.count_shapes([0], recorded=False) == {0: {shape: 1}}


def test_a_guid_has_a_shape_of_its_own(engine: DuckEngine, tmp_path: Path) -> None:
    engine.load(InlineRows(kind=Kind.GUID, values=["12345678"]), targets=[0])
    known = recorded_files(tmp_path, [(Kind.IDENTITY, "12345678"), (Kind.IDENTITY, "a@b.com")])
    engine.set_recorded(0, known, wanted=True)
    engine.diff()
    assert engine.count_shapes([0], recorded=False) == {0: {"guid digits:8": 1}}
    assert engine.count_shapes([0], recorded=True) == {0: {"digits:8": 1, "email": 1}}


def test_a_shape_that_hardly_any_recorded_member_has_is_new() -> None:
    known = Shapes(members=SetDigest(count=2001), counts={"digits:8": 1999, "email": 2})
    assert find_new_shapes(known, {"email": 5, "digits:8": 9, "uuid": 1}) == {"email": 5, "uuid": 1}
    assert find_new_shapes(known, {}) == {}
    some = Shapes(members=SetDigest(count=2000), counts={"digits:8": 1998, "email": 2})
    assert find_new_shapes(some, {"email": 5}) == {}


def test_the_shapes_of_a_set_follow_its_changes() -> None:
    known = Shapes(members=SetDigest(count=3), counts={"email": 2, "uuid": 1})
    later = advance_shapes(known, {"email": 4, "uuid": -1, "digits:8": -2}, SetDigest(count=6))
    assert later == Shapes(members=SetDigest(count=6), counts={"email": 6})
    many = {f"digits:{n}": n + 1 for n in range(100)}
    assert len(advance_shapes(Shapes(), many, SetDigest(count=9)).counts) == MAX_SHAPES
