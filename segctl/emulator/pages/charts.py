"""The size of something over time, as coordinates that a template draws.

A size stays until the next change, so the line is made of steps.  Labels are text
outside of the drawing, which can then be stretched to any width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 1000
HEIGHT = 200
STEPS = 4
"""The distances between the labels of the vertical axis, at most."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing of ``WIDTH`` × ``HEIGHT`` units, and the labels of its two axes."""

    line: str
    """The path of the line."""
    area: str
    """The path of the area below it."""
    grid: tuple[float, ...]
    """Heights of the horizontal lines."""
    counts: tuple[int, ...]
    """Labels of the vertical axis, from the top to 0, at equal distances."""
    times: tuple[float, ...]
    """Labels of the horizontal axis, at equal distances, in seconds since 1970."""
    first: int
    last: int
    greatest: int
    points: tuple[tuple[float, int], ...]
    """Times and counts, oldest first."""


def draw_chart(points: Sequence[tuple[float, int]], *, until: float) -> Chart:
    """Return the drawing of counts over time up to the time ``until``.

    ``points`` are times in seconds since 1970, oldest first, with the count from then on.
    """
    points = [*points] or [(until, 0)]
    start, end = points[0][0], max(until, points[-1][0])
    greatest = max(count for _, count in points)
    step = _round_step(greatest)
    top = step * max(1, math.ceil(greatest / step))

    def x(ts: float) -> str:
        return f"{(ts - start) / (end - start or 1) * WIDTH:.1f}"

    def y(count: int) -> str:
        return f"{HEIGHT - count / top * HEIGHT:.1f}"

    line = f"M{x(start)} {y(points[0][1])}"
    for ts, count in points[1:]:
        line += f"H{x(ts)}V{y(count)}"
    line += f"H{WIDTH}"
    counts = tuple(range(top, -1, -step))
    return Chart(
        line=line,
        area=f"{line}V{HEIGHT}H0Z",
        grid=tuple(HEIGHT - count / top * HEIGHT for count in counts),
        counts=counts,
        times=tuple(start + (end - start) * part / 3 for part in range(4)),
        first=points[0][1],
        last=points[-1][1],
        greatest=greatest,
        points=tuple(points),
    )


def _round_step(greatest: int) -> int:
    """Return the least of 1, 2, 5, 10, 20, … of which ``STEPS`` reach the greatest count."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if size * factor * STEPS >= greatest:
                return size * factor
        size *= 10
