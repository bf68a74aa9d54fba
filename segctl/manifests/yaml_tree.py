"""Values as they stand in a YAML document, with the place of each.

A document is a tree of ``Map``, ``Seq`` and text.  They are ordinary dicts and
lists, so that a model can validate them as they are, and they remember the line
and column of every key and value, so that a problem can be shown where it is.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from segctl.core.diagnostics import Diagnostic, Location

Place = tuple[int, int]
"""Line and column, both from 1."""

Path = Sequence[str | int]
"""The way from a document's root to a value: keys and list positions from 0."""


class Unquoted(str):
    """The source text of a scalar written without quotes, such as ``3`` or ``true``."""

    __slots__ = ()


class Map(dict[str, "Value"]):
    """A mapping; every key is its source text."""

    __slots__ = ("keys_at", "values_at")

    def __init__(self) -> None:
        super().__init__()
        self.keys_at: dict[str, Place] = {}
        self.values_at: dict[str, Place] = {}

    def put(self, key: str, value: "Value", at: Place) -> None:
        """Add a value whose key is known by its place already."""
        self[key] = value
        self.values_at[key] = at


class Seq(list["Value"]):
    """A list; its places are compact, since it may hold a hundred thousand members."""

    __slots__ = ("columns", "lines")

    def __init__(self) -> None:
        super().__init__()
        self.lines = array("L")
        self.columns = array("L")

    def put(self, value: "Value", at: Place) -> None:
        """Add a value."""
        self.append(value)
        self.lines.append(at[0])
        self.columns.append(at[1])


Value = Map | Seq | str | None
"""What stands at a place; ``None`` is an unquoted null, ``~``, or nothing at all."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One YAML document: its values, where it begins, and what its notation got wrong.

    ``problems`` are held back until it is known whether the document is ours.
    """

    file: str
    start: Place
    data: Value
    problems: tuple[Diagnostic, ...] = ()

    def at(self, path: Path = (), *, key: bool = False) -> Location:
        """Give the place of the value at ``path``, or of the ``key`` that leads to it.

        A path that ends beyond what is written gives the last place on the way.
        """
        place, value = self.start, self.data
        for i, step in enumerate(path):
            if isinstance(value, Map) and step in value:
                of_key = key and i == len(path) - 1
                place = (value.keys_at if of_key else value.values_at)[str(step)]
                value = value[str(step)]
            elif isinstance(value, Seq) and isinstance(step, int) and step < len(value):
                place = value.lines[step], value.columns[step]
                value = value[step]
            else:
                break
        return Location(file=self.file, line=place[0], column=place[1])


def look(value: Value, *path: str) -> Value:
    """Give what stands at ``path`` in mappings, ``None`` where nothing does."""
    for step in path:
        if not isinstance(value, Map) or step not in value:
            return None
        value = value[step]
    return value
