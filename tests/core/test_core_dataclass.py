"""The frozen dataclasses of segctl behave as those of the standard library."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from segctl.core.dataclass import dataclass


def declare(decorator: Callable[..., Any]) -> type[Any]:
    @decorator(frozen=True, kw_only=True)
    class Base:
        values: int
        self_: str = "default"
        listed: list[int] = dataclasses.field(default_factory=list)

    @decorator(frozen=True, kw_only=True)
    class Value(Base):
        secret: str = dataclasses.field(default="s", repr=False)
        ignored: int = dataclasses.field(default=0, compare=False)

        def __post_init__(self) -> None:
            if self.values < 0:
                raise ValueError("negative")

    return Value


@pytest.fixture(params=[dataclass, dataclasses.dataclass], ids=["segctl", "standard"])
def value(request: pytest.FixtureRequest) -> type[Any]:
    return declare(request.param)


def test_fields_are_set_by_name_and_have_their_defaults(value: type[Any]) -> None:
    made = value(values=1)
    assert dataclasses.asdict(made) == {
        "values": 1,
        "self_": "default",
        "listed": [],
        "secret": "s",
        "ignored": 0,
    }
    assert value(values=1).listed is not made.listed
    assert dataclasses.replace(made, values=2).values == 2


@pytest.mark.parametrize("arguments", [{}, {"values": 1, "other": 2}])
def test_a_field_that_is_missing_or_unknown_is_an_error(
    value: type[Any], arguments: dict[str, int]
) -> None:
    with pytest.raises(TypeError):
        value(**arguments)
    with pytest.raises(TypeError):
        value(1)


def test_a_value_is_frozen(value: type[Any]) -> None:
    made = value(values=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.values = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.values
    assert made.values == 1


def test_values_are_equal_if_their_compared_fields_are(value: type[Any]) -> None:
    assert value(values=1, ignored=1) == value(values=1)
    assert value(values=1) != value(values=2)
    assert value(values=1) != declare(dataclass)(values=1)


def test_hashes_follow_equality(value: type[Any]) -> None:
    first, second = (value(values=1, listed=(), ignored=n) for n in (1, 2))
    assert hash(first) == hash(second)
    with pytest.raises(TypeError):
        hash(value(values=1))


def test_the_text_leaves_out_what_it_should(value: type[Any]) -> None:
    assert repr(value(values=1)).endswith("Value(values=1, self_='default', listed=[], ignored=0)")


def test_a_value_is_checked_when_it_is_made(value: type[Any]) -> None:
    with pytest.raises(ValueError, match="negative"):
        value(values=-1)


def test_a_class_keeps_the_methods_that_it_defines() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Named:
        name: str

        def __repr__(self) -> str:
            return self.name

    assert repr(Named(name="gold")) == "gold"


def test_other_options_are_those_of_the_standard_library() -> None:
    @dataclass(frozen=True, kw_only=True, order=True)
    class Ordered:
        number: int

    assert Ordered(number=1) < Ordered(number=2)
