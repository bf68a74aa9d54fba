"""Patterns of ``--target`` and ``--exclude``: each selects something, or it is a mistake."""

from collections.abc import Mapping, Sequence

from segctl.core.address import is_targeted, segment_name
from segctl.core.errors import WrongUsage
from segctl.core.suggestions import did_you_mean


def check_patterns(
    patterns: Sequence[str],
    addresses: Sequence[str],
    *,
    kind: str,
    option: str = "--target",
    moves: Mapping[str, str] | None = None,
) -> None:
    """Raise ``WrongUsage`` for a pattern that matches no address.

    ``kind`` says which segments have these addresses, such as ``recorded``. ``moves`` are the new
    addresses of segments by their old ones.
    """
    for pattern in patterns:
        if any(is_targeted(address, [pattern]) for address in addresses):
            continue
        moved = [new for old, new in (moves or {}).items() if is_targeted(old, [pattern])]
        hint = f"It is {moved[0]} now." if moved else ""
        names = [segment_name(address) for address in addresses]
        raise WrongUsage(
            f"{option} {pattern} matches no {kind} segment",
            hint=hint
            or did_you_mean(segment_name(pattern), names)
            or "`segctl state list` shows the recorded segments.",
        )
