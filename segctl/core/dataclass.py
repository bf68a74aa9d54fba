"""``dataclass`` of the standard library, with less to compile when a module is imported.

The standard library compiles six functions for each frozen class, which takes 0.4 ms. A plan
imports two hundred such classes. Here, only ``__init__`` is compiled, and the other
methods are shared by all classes. Type checkers see the decorator of the standard library.
"""

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

__all__ = ["dataclass"]

_T = TypeVar("_T")

_FACTORY = object()
"""The default of a parameter whose field has a ``default_factory``."""

_COMPARED = "_compared_fields"
_SHOWN = "_shown_fields"


def _freeze(cls: type[_T]) -> type[_T]:
    """Make ``cls`` a frozen dataclass whose fields are keyword-only."""
    dataclasses.dataclass(kw_only=True, init=False, repr=False, eq=False)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # it is a dataclass now
    compared = [field.name for field in fields if field.compare]
    setattr(cls, _COMPARED, attrgetter(*compared) if compared else _no_fields)
    setattr(cls, _SHOWN, tuple(field.name for field in fields if field.repr))
    methods: dict[str, Callable[..., Any]] = {
        "__init__": _compile_init(cls, [field for field in fields if field.init]),
        "__eq__": _equal,
        "__hash__": _hash,
        "__repr__": _represent,
        "__setattr__": _refuse_change,
        "__delattr__": _refuse_change,
    }
    for name, method in methods.items():
        # A class that has its own __eq__ has an entry for __hash__, too.
        if name not in cls.__dict__:
            setattr(cls, name, method)
    return cls


def _compile_init(cls: type[object], fields: "list[dataclasses.Field[Any]]") -> Callable[..., None]:
    """Return ``__init__``. It sets the fields in ``__dict__``, since the class refuses changes."""
    names: dict[str, Any] = {"__factory__": _FACTORY}  # dunder names are no fields
    parameters: list[str] = []
    lines = ["__values__ = self.__dict__"] if fields else []
    for field in fields:
        name, value = field.name, field.name
        if field.default is not dataclasses.MISSING:
            names[f"__default_{name}__"] = field.default
            parameters.append(f"{name}=__default_{name}__")
        elif field.default_factory is not dataclasses.MISSING:
            names[f"__make_{name}__"] = field.default_factory
            parameters.append(f"{name}=__factory__")
            value = f"__make_{name}__() if {name} is __factory__ else {name}"
        else:
            parameters.append(name)
        lines.append(f"__values__['{name}'] = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    signature = ", ".join(["self", *(["*"] if fields else []), *parameters])
    body = "\n  ".join(lines or ["pass"])
    exec(f"def __init__({signature}):\n  {body}", names)  # noqa: S102 - as the standard library does
    compiled: Callable[..., None] = names["__init__"]
    compiled.__qualname__ = f"{cls.__qualname__}.__init__"
    compiled.__annotations__ = {field.name: field.type for field in fields} | {"return": None}
    return compiled


def _no_fields(_value: object) -> tuple[()]:
    return ()


def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self._compared_fields(self) == self._compared_fields(other)


def _hash(self: Any) -> int:
    return hash(self._compared_fields(self))


def _represent(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown_fields)
    return f"{self.__class__.__qualname__}({fields})"


def _refuse_change(_self: object, name: str, _value: object = None) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot change field {name!r}")


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(**options: bool) -> Callable[[type[_T]], type[_T]]:
        """Return a decorator; its options are those of ``dataclasses.dataclass``."""
        if options == {"frozen": True, "kw_only": True}:
            return _freeze
        return dataclasses.dataclass(**options)
