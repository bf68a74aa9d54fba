"""Suggest a known name for one that is not."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question for the known name closest to ``name``, or an empty text."""
    known = list(known)
    match = get_close_matches(name, known, n=1, cutoff=0.6)
    if not match:
        folded = {k.casefold(): k for k in known}
        match = [folded[name.casefold()]] if name.casefold() in folded else []
    return f'Did you mean "{match[0]}"?' if match else ""
