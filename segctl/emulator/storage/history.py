"""The number of a segment's members over time, from the tallies of the log."""

from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.state import Segment


def segment_history(log: EventLog, segment: Segment, points: int) -> list[tuple[float, int]]:
    """Return the members of a segment over time: at most ``points`` times with counts.

    The times are in seconds since 1970, oldest first, at whole minutes.
    """
    history = [(segment.created_at, 0)]
    members = 0
    for minute, change in log.sizes(segment.id):
        members += change
        history.append((max(segment.created_at, minute * 60), members))
    if segment.deleted_at is not None:
        history.append((segment.deleted_at, 0))
    if len(history) <= points:
        return history
    # The last count of each of equal spans of time.
    first, last = history[0][0], history[-1][0]
    spans = {
        min(points - 1, int((ts - first) / (last - first or 1) * points)): (ts, count)
        for ts, count in history
    }
    return [spans[span] for span in sorted(spans)]
