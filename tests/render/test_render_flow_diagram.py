"""The diagram of the flows: few arrows, short enough to be drawn, and no name breaks out of it."""

from dataclasses import replace

import pytest

from segctl.plan.model import Flow, Plan
from segctl.render import flow_diagram
from tests.render.comment_kit import check_diagram
from tests.render.conftest import GOLD, attributes, plan


def plan_of(*names: str, flows: tuple[tuple[int, int, int], ...]) -> Plan:
    """Return a plan of segments with these display names, and flows between them by number."""
    changes = [
        replace(GOLD, address=f"segment.s{number}", after=attributes(name, f"S{number}"))
        for number, name in enumerate(names)
    ]
    found = (
        Flow(leaves=f"segment.s{left}", joins=f"segment.s{joined}", users=users)
        for left, joined, users in flows
    )
    return plan(*changes, flows=tuple(found))


def test_segments_have_their_display_names_and_flows_their_users() -> None:
    source = flow_diagram.render(plan_of("Gold", "Silver", flows=((1, 0, 1_234), (0, 1, 50))))
    assert source.splitlines() == [
        "flowchart LR",
        '  s0["Silver"] -->|"1,234"| s1["Gold"]',
        '  s1 -->|"50"| s0',
        "  linkStyle 0 stroke-width:6px",
    ]


def test_segments_of_one_display_name_have_their_addresses() -> None:
    source = flow_diagram.render(plan_of("Gold", "Gold", flows=((1, 0, 9),)))
    assert 's0["segment#46;s1"] -->|"9"| s1["segment#46;s0"]' in source


def test_small_flows_are_gathered() -> None:
    names = [f"Segment {number}" for number in range(8)]
    flows = [(left, joined) for left in range(8) for joined in range(8) if left != joined]
    numbered = tuple((left, joined, 100 - n) for n, (left, joined) in enumerate(flows))
    source = flow_diagram.render(plan_of(*names, flows=numbered))
    assert source.count("-->") == flow_diagram.MAX_FLOWS
    assert f'  other(["44 smaller moves#58; {sum(range(45, 89)):,}'.replace(",", "#44;") in source


def test_no_flows_make_no_diagram() -> None:
    assert flow_diagram.render(plan_of("Gold", flows=())) == ""
    assert flow_diagram.render(replace(plan_of("Gold", flows=()), flows=None)) == ""


@pytest.mark.parametrize(
    "name",
    [
        '"]; click s0 "https://a.example"',
        "%%{init: {'securityLevel': 'loose'}}%%",
        "a\nb\r\nend",
        "#quot; #60;script#62;",
        "<img src=x onerror=alert(1)>",
        "`**a**`",
        "\u202eevil\x1b[2J\u200b",
        "😀" * 400,
        "語" * 400,
        "",
        " ",
    ],
)
def test_no_name_breaks_out_of_its_label(name: str) -> None:
    names = [f"{name}{number}" for number in range(24)]
    flows = tuple((number, number + 12, 100 - number) for number in range(12))
    source = flow_diagram.render(plan_of(*names, flows=flows))
    check_diagram(source.splitlines())
    assert source.count("-->") >= 3
    assert source.isprintable() or set(source) - {"\n"} <= set(filter(str.isprintable, source))
