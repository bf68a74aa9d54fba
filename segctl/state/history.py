"""Values about a state as a whole: its versions, its garbage, the result of a full check."""

from collections.abc import Callable, Mapping, Sequence

from segctl.core.dataclass import dataclass
from segctl.core.events import Recovered


@dataclass(frozen=True, kw_only=True)
class StateProblem:
    """One inconsistency of the state, and what to do about it."""

    summary: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class StateCheck:
    """The result of a full check of the state: counts, and every problem.

    ``segments`` includes destroyed ones; ``sound`` of them have no problem. ``versions`` counts
    the earlier heads. ``unused`` counts the member files that no head refers to, ``unused_bytes``
    is their total size. ``recovered`` describes an apply that is unfinished, and ``running`` is who
    runs it, empty if it was interrupted.
    """

    segments: int
    sound: int
    members: int
    files: int
    versions: int
    unused: int
    unused_bytes: int
    problems: tuple[StateProblem, ...]
    recovered: Recovered | None = None
    running: str = ""


@dataclass(frozen=True, kw_only=True)
class StateVersion:
    """A head of the history, or the current one; ``name`` is the name of its file.

    ``serial`` is ``None`` if it is unknown. If the head cannot be read, ``problem`` says why and
    the counts are 0. ``until`` is when the head was replaced, in seconds since 1970.
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
    """How much history a state keeps in addition to the current head.

    At most ``heads`` earlier heads, and only as many as need at most ``bytes`` of member files that
    the current head does not need. The latest earlier head is kept even if it needs more.
    """

    heads: int = 20
    bytes: int = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What a state no longer needs: earlier heads, oldest first, member files and saved plans.

    ``bytes`` is the total size of the member files.
    """

    heads: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    bytes: int = 0


def select_garbage(
    earlier: Sequence[str],
    files_of: Callable[[str], frozenset[str]],
    *,
    current: frozenset[str],
    sizes: Mapping[str, int],
    limits: HistoryLimits,
) -> Garbage:
    """Return the ``earlier`` heads (oldest first) and the files that are not needed.

    ``current`` are the files of the current head. ``sizes`` holds the bytes of every file that
    exists. ``files_of`` returns the files of an earlier head. It is not called for heads beyond
    ``limits.heads``, so an unreadable head blocks the collection only until it is that old.
    """
    needed = set(current)
    kept = total = 0
    for name in reversed(earlier[-limits.heads :] if limits.heads else ()):
        needed_only_here = files_of(name) - needed
        total += sum(sizes.get(file, 0) for file in needed_only_here)
        if kept and total > limits.bytes:
            break
        needed |= needed_only_here
        kept += 1
    files = tuple(sorted(sizes.keys() - needed))
    return Garbage(
        heads=tuple(earlier[: len(earlier) - kept]),
        files=files,
        bytes=sum(sizes[file] for file in files),
    )
