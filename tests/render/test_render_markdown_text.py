"""What Markdown, a forge or a CI runner would read as more than text is shown as text."""

import pytest

from segctl.render.markdown_text import code_block, escape, escape_line, size

GAP = "&#8203;"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("gold_users of 5% & more", "gold_users of 5% &#38; more"),
        ("_a_", "&#95;a&#95;"),
        ("@team", f"&#64;{GAP}team"),
        ("a@b", f"a&#64;{GAP}b"),
        ("#1 !2 ~3 %4", f"&#35;{GAP}1 &#33;{GAP}2 &#126;{GAP}3 &#37;{GAP}4"),
        ("http://a", f"http&#58;{GAP}//a"),
        ("www.a.b", f"www{GAP}&#46;{GAP}a.b"),
        ('*iteration:"x"', f'&#42;{GAP}iteration:"x"'),
        ("GH-1", f"GH{GAP}&#45;{GAP}1"),
        ("m.yaml:12:7", "m.yaml:12:7"),
        ("a:tada:", f"a&#58;{GAP}tada:"),
        ("{+x+}", f"&#123;{GAP}+x+}}"),
        ("a\u202eb\n", "a&#92;u202eb&#92;n"),
        ("<!--", "&#60;!--"),
    ],
)
def test_what_begins_markup_is_escaped(value: str, shown: str) -> None:
    assert escape(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/close", "&#47;close"),
        ("- a", "&#45; a"),
        ("12. a", "&#49;&#50;. a"),
        ("::error::a", f"&#58;&#58;{GAP}error::a"),
        ("===", "&#61;=="),
        ("    a", "a"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_a_line_begins_nothing_else_than_a_line(value: str, shown: str) -> None:
    assert escape_line(value) == shown


@pytest.mark.parametrize("value", ["x" * 9_000, "<" * 9_000, "語" * 9_000, "\u200b" * 9_000])
@pytest.mark.parametrize("limit", [60, 300, 600])
def test_a_long_value_is_shortened_to_its_bytes(value: str, limit: int) -> None:
    shown = escape(value, max_bytes=limit)
    assert size(shown) <= limit
    assert size(shown) > limit / 3
    assert shown.endswith("…")


def test_a_code_block_is_not_ended_by_its_lines() -> None:
    assert code_block(["a ```` b"], "diff") == "`````diff\na ```` b\n`````"


def test_a_code_block_holds_no_marker_and_no_command_of_a_runner() -> None:
    block = code_block(["<!-- segctl plan -->", "##[error]a ##vso[b] ##teamcity[c]"], "diff")
    assert "<!--" not in block
    assert "##" not in block
