"""A bitmap is a set of whole numbers, whatever is done to it."""

from hypothesis import given
from hypothesis import strategies as st

from segctl.emulator.bitmap import Bitmap

numbers = st.lists(st.integers(0, 500))


@given(st.lists(st.tuples(st.booleans(), numbers)))
def test_it_adds_and_removes_as_a_set_does(steps: list[tuple[bool, list[int]]]) -> None:
    bitmap, model = Bitmap(), set[int]()
    for adds, those in steps:
        distinct = list(dict.fromkeys(those))
        if adds:
            assert bitmap.add(those) == [each for each in distinct if each not in model]
            model |= set(those)
        else:
            assert bitmap.remove(those) == [each for each in distinct if each in model]
            model -= set(those)
        assert len(bitmap) == len(model)
    assert list(bitmap) == sorted(model)
    assert all((number in bitmap) == (number in model) for number in range(520))


@given(numbers, numbers)
def test_it_counts_what_two_share(one: list[int], two: list[int]) -> None:
    first, second = Bitmap(), Bitmap()
    first.add(one)
    second.add(two)
    assert first.common(second) == len(set(one) & set(two))


@given(numbers, numbers)
def test_its_bytes_give_it_back_and_a_copy_stands_apart(one: list[int], two: list[int]) -> None:
    bitmap = Bitmap()
    bitmap.add(one)
    again, copy = Bitmap(bytes(bitmap)), bitmap.copy()
    copy.add(two)
    assert list(again) == list(bitmap) == sorted(set(one))
    assert len(again) == len(bitmap)
