"""Suggest a known name for one that is not."""

from collections.abc import Iterable
from difflib import get_close_matches

from segctl.core.address import segment_address, segment_name


def did_you_mean_address(address: str, known: Iterable[str]) -> str:
    """Return the question for the known address closest to ``address``, or an empty text.

    Only the names are compared: the prefix that all addresses share would make them similar.
    """
    names = [segment_name(other) for other in known]
    return did_you_mean(segment_name(address), names, prefix=segment_address(""))


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return the question for the known name closest to ``name``, or an empty text.

    The question names it with ``prefix``.
    """
    known = list(known)
    match = get_close_matches(name, known, n=1, cutoff=0.6)
    if not match:
        folded = {k.casefold(): k for k in known}
        match = [folded[name.casefold()]] if name.casefold() in folded else []
    return f'Did you mean "{prefix}{match[0]}"?' if match else ""
