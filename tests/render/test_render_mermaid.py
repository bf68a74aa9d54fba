"""A label of a diagram is text: no part of it is read as Mermaid, Markdown or HTML."""

import pytest

from segctl.render.mermaid import label_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Gäste 24", "Gäste 24"),
        ("segment.gold_users", "segment#46;gold#95;users"),
        ('a"] b', "a#34;#93; b"),
        ("<b>&amp;", "#60;b#62;#38;amp#59;"),
        ("1. a", "1#46; a"),
        ("a\nb\ud800", "a#92;nb#92;ud800"),
        ("", ""),
    ],
)
def test_a_label_is_text(text: str, shown: str) -> None:
    assert label_text(text) == shown
