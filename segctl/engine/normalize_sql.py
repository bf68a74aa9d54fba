"""The forms of ``core.normalize`` in SQL, and the form that finds values that look alike."""

from collections.abc import Sequence

from segctl.core.identity import SPACE_PATTERN
from segctl.core.normalize import Normalization

INVISIBLE_PATTERN = "[\\x{ad}\\x{200b}-\\x{200f}\\x{2028}-\\x{202f}\\x{2060}-\\x{2064}\\x{feff}]"
"""Characters without width: soft hyphens, joiners, marks of direction, byte order marks."""

_TRIMMED = (
    "regexp_replace(regexp_replace({value}, '" + INVISIBLE_PATTERN + "', '', 'g'), "
    "'^(?:" + SPACE_PATTERN + "|[\\t\\r\\n])+|(?:" + SPACE_PATTERN + "|[\\t\\r\\n])+$', '', 'g')"
)

_FORMS: dict[Normalization, str] = {
    "nfc": "nfc_normalize({value})",
    "lower": "lower({value})",
    "trim": _TRIMMED,
    "strip-plus": "ltrim({value}, '+')",
    "strip-zeros": "ltrim({value}, '0')",
}


def normalized(value: str, forms: Sequence[Normalization]) -> str:
    """Return an expression for ``value``, itself an expression, in these forms."""
    for form in forms:
        value = _FORMS[form].replace("{value}", value)
    return value


def folded(value: str) -> str:
    """Return an expression that is equal for values that look alike.

    Such values differ only in case, accents' composition, white space around them, invisible
    characters, or leading ``+`` and zeros. Most values are ASCII and begin with a letter or another
    digit than zero: they only need other case.
    """
    other = normalized(value, ["trim", "nfc", "lower"])
    is_plain = f"strlen({value}) = length({value}) AND {value} >= '1' AND right({value}, 1) > ' '"
    return f"CASE WHEN {is_plain} THEN lower({value}) ELSE ltrim({other}, '+0') END"
