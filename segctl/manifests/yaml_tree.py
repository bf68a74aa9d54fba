"""A parsed YAML document: plain dicts, lists and text that know their line and column.

Models validate the tree as it is. A diagnostic about any part of it can name its position.
"""

from array import array
from collections.abc import Sequence

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location

Position = tuple[int, int]
"""Line and column, both counted from 1."""

Path = Sequence[str | int]
"""The keys and list indexes that lead from a document's root to a value."""


class Unquoted(str):
    """The text of a scalar written without quotes, such as ``3`` or ``true``."""

    __slots__ = ()


class Map(dict[str, "Value"]):
    """A mapping. Keys are text, exactly as written."""

    __slots__ = ("key_positions", "value_positions")

    def __init__(self) -> None:
        super().__init__()
        self.key_positions: dict[str, Position] = {}
        self.value_positions: dict[str, Position] = {}


class Seq(list["Value"]):
    """A list. Positions are in arrays, since it may have a hundred thousand members."""

    __slots__ = ("columns", "lines")

    def __init__(self) -> None:
        super().__init__()
        self.lines = array("L")
        self.columns = array("L")

    def add(self, value: "Value", position: Position) -> None:
        """Append a value and its position."""
        self.append(value)
        self.lines.append(position[0])
        self.columns.append(position[1])


Value = Map | Seq | str | None
"""A parsed value. ``None`` is an unquoted null, ``~``, or a key without a value."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One YAML document: its values, the position of its first value, its notation problems.

    ``problems`` are reported only if the document turns out to be a segctl manifest.
    """

    file: str
    start: Position
    data: Value
    problems: tuple[Diagnostic, ...] = ()

    def locate(self, path: Path = (), *, key: bool = False) -> Location:
        """Return the location of the value at ``path``, or of its key if ``key`` is set.

        If the path leads beyond what is written, return the location of the last value on it.
        """
        position, value = self.start, self.data
        for i, step in enumerate(path):
            if isinstance(value, Map) and step in value:
                is_last = i == len(path) - 1
                positions = value.key_positions if key and is_last else value.value_positions
                position, value = positions[str(step)], value[str(step)]
            elif isinstance(value, Seq) and isinstance(step, int) and step < len(value):
                position, value = (value.lines[step], value.columns[step]), value[step]
            else:
                break
        return Location(file=self.file, line=position[0], column=position[1])


def lookup(value: Value, *path: str) -> Value:
    """Return the value at ``path`` below nested mappings, or ``None`` if there is none."""
    for step in path:
        if not isinstance(value, Map) or step not in value:
            return None
        value = value[step]
    return value
