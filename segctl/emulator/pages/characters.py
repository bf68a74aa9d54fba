"""Names as they are, with a sign for each character that nobody would see.

A name may start with a space, contain a tab or turn the direction of the text.  Each such
character is shown as a sign with its Unicode name, so that two names that differ look
different.
"""

import unicodedata
from typing import NamedTuple

JOINERS = frozenset("\u200c\u200d")
"""They join letters of Persian or Hindi, and people of one emoji."""

BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols by category, which have no shape."""

SPACE_SIGN = "\u00b7"


class Piece(NamedTuple):
    """A part of a name: text, or one invisible character with its sign."""

    text: str
    hint: str | None
    """What the character is, or None for text."""


def split_name(name: str) -> list[Piece]:
    """Return the name in pieces: visible text as it is, and signs with their hints."""
    pieces: list[Piece] = []
    visible = ""
    for position, character in enumerate(name):
        sign = _sign(name, position)
        if sign is None:
            visible += character
            continue
        if visible:
            pieces.append(Piece(visible, None))
            visible = ""
        pieces.append(Piece(sign, _hint(character)))
    return [*pieces, Piece(visible, None)] if visible else pieces


def _sign(name: str, position: int) -> str | None:
    """Return the sign of an invisible character, or None for a visible one."""
    character = name[position]
    if character == " ":
        is_inside = 0 < position < len(name) - 1
        is_single = is_inside and not {name[position - 1], name[position + 1]} & {" "}
        return None if is_single else SPACE_SIGN
    category = unicodedata.category(character)
    if category in {"Zs", "Zl", "Zp"}:
        return SPACE_SIGN
    if category == "Cc" and character < " ":
        return repr(character)[1:-1]
    if character in JOINERS and _joins(name, position):
        return None
    if category.startswith("C") or character in BLANKS:
        return f"U+{ord(character):04X}"
    return None


def _joins(name: str, position: int) -> bool:
    """Whether the character stands between two characters that a joiner may join."""
    around = (name[position - 1 : position], name[position + 1 : position + 2])
    return all(
        each > "\x7f" and unicodedata.category(each)[0] in "LMS" for each in around if each
    ) and all(around)


def _hint(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{unicodedata.name(character, 'CONTROL CHARACTER')} ({code})".lower().replace(
        code.lower(), code
    )
