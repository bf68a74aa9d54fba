"""Patterns of ``--target``: each of them selects something, or it is a mistake."""

from collections.abc import Mapping, Sequence

from segctl.core.address import is_targeted, segment_name
from segctl.core.errors import WrongUsage
from segctl.manifests.explain import did_you_mean


def check_patterns(
    patterns: Sequence[str], addresses: Sequence[str], moves: Mapping[str, str] | None = None
) -> None:
    """Raise ``WrongUsage`` for a pattern that matches no address.

    ``moves`` are the new addresses of segments by their old ones.
    """
    for pattern in patterns:
        if any(is_targeted(address, [pattern]) for address in addresses):
            continue
        moved = [new for old, new in (moves or {}).items() if is_targeted(old, [pattern])]
        hint = f"It is {moved[0]} now." if moved else ""
        names = [segment_name(address) for address in addresses]
        raise WrongUsage(
            f"--target {pattern} matches no declared or recorded segment",
            hint=hint
            or did_you_mean(segment_name(pattern), names)
            or "`segctl validate` and `segctl state list` show the segments.",
        )
