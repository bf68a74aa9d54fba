"""What is told of a state as a whole: its versions, what it no longer needs, whether it adds up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StateProblem:
    """One thing that does not add up, and what to do about it."""

    summary: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class StateCheck:
    """What a full check of the state found: counts, and every problem.

    ``sound`` of the ``segments``, destroyed ones too, add up.  ``versions`` are the heads
    of the history, ``unused`` the member files that neither the head nor one of these
    names, with ``unused_bytes`` in all.
    """

    segments: int
    sound: int
    members: int
    files: int
    versions: int
    unused: int
    unused_bytes: int
    problems: tuple[StateProblem, ...]


@dataclass(frozen=True, kw_only=True)
class StateVersion:
    """One head of the history, or the present one; ``name`` is that of its file.

    ``serial`` is ``None`` where nothing tells it.  Where the head cannot be read,
    ``problem`` says why, and nothing is in it.  ``until`` is when it was replaced, in
    seconds since 1970.
    """

    name: str
    serial: int | None
    segments: int = 0
    members: int = 0
    current: bool = False
    problem: str = ""
    until: float | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryLimits:
    """How much of the past a state keeps besides the present head.

    At most ``heads`` earlier heads, as long as the member files that they alone need
    take no more than ``bytes``; the latest one whatever it takes.
    """

    heads: int = 20
    bytes: int = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What a state no longer needs: earlier heads, the oldest first, and member files.

    ``bytes`` is what these files take.
    """

    heads: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    bytes: int = 0


def select_garbage(
    earlier: Sequence[str],
    named_by: Callable[[str], frozenset[str]],
    *,
    present: frozenset[str],
    sizes: Mapping[str, int],
    limits: HistoryLimits,
) -> Garbage:
    """Find what may go of the ``earlier`` heads, oldest first, and of the files of ``sizes``.

    ``present`` are the files of the present head, ``sizes`` the bytes of every file there
    is.  ``named_by`` gives the files of an earlier head; it is not asked about heads that
    are too old to be kept, so that one that cannot be read is a matter of time.
    """
    needed = set(present)
    kept = space = 0
    for name in reversed(earlier[-limits.heads :] if limits.heads else ()):
        alone = named_by(name) - needed
        space += sum(sizes.get(file, 0) for file in alone)
        if kept and space > limits.bytes:
            break
        needed |= alone
        kept += 1
    files = tuple(sorted(sizes.keys() - needed))
    return Garbage(
        heads=tuple(earlier[: len(earlier) - kept]),
        files=files,
        bytes=sum(sizes[file] for file in files),
    )
