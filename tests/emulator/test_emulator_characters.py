"""Names as they are shown: visible characters as they are, invisible ones as signs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.emulator.pages.characters import split_name


def shown(name: str) -> str:
    """Return the name with its signs in brackets."""
    return "".join(f"[{text}]" if hint else text for text, hint in split_name(name))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Gold Users", "Gold Users"),
        (" a  b ", "[·]a[·][·]b[·]"),
        ("a\tb\x00\x7f", "a[\\t]b[\\x00][U+007F]"),
        ("safe\u202egnp.exe", "safe[U+202E]gnp.exe"),
        ("go\u200bld", "go[U+200B]ld"),
        ("go\u200dld", "go[U+200D]ld"),
        ("\u00a0x\u3000y", "[·]x[·]y"),
        ("\u3164", "[U+3164]"),
        ("\ud800", "[U+D800]"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("", ""),
    ],
)
def test_invisible_characters_are_signs(name: str, expected: str) -> None:
    assert shown(name) == expected


def test_a_sign_says_what_it_stands_for() -> None:
    assert [hint for _, hint in split_name("\u202e\t") if hint] == [
        "right-to-left override (U+202E)",
        "control character (U+0009)",
    ]


@given(st.text())
def test_visible_text_stays_in_order(name: str) -> None:
    pieces = split_name(name)
    rest = iter(name)
    assert all(character in rest for text, hint in pieces if hint is None for character in text)
    assert sum(len(text) if hint is None else 1 for text, hint in pieces) == len(name)
