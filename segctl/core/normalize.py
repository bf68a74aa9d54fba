"""The forms in which the values of a source can be compared with members.

``engine/normalize_sql.py`` computes them. Values are always sent as written.
"""

from collections.abc import Iterable
from typing import Literal, get_args

Normalization = Literal["nfc", "lower", "trim", "strip-plus", "strip-zeros"]
"""Compose accents (Unicode NFC), fold case, drop surrounding white space and invisible characters,
drop a leading ``+``, drop leading zeros. This is also the order in which they apply."""


def normalization_order(chosen: Iterable[Normalization]) -> tuple[Normalization, ...]:
    """Return the chosen forms in the order in which they apply, each once."""
    wanted = frozenset(chosen)
    return tuple(form for form in get_args(Normalization) if form in wanted)
