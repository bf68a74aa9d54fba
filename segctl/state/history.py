"""What is told of a state as a whole: its versions, and whether it adds up."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a full check of the state found: counts, and every problem in words."""

    segments: int
    members: int
    files: int
    unused: int
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Version:
    """One head of the history, or the present one: its serial, segments and members."""

    serial: int
    segments: int
    members: int
    current: bool
