"""HTML from Python, escaped by construction.

Text becomes markup only through ``el``, which escapes it; there is no other way in.
"""

from collections.abc import Iterable
from html import escape

VOID = frozenset({"input", "link", "meta", "br"})


class Html(str):
    """Markup that is already safe."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]
Attribute = str | int | bool | None


def el(tag: str, *children: Child, **attributes: Attribute) -> Html:
    """Return one element.

    An attribute ``class_`` is ``class``, ``data_x`` is ``data-x``; True stands
    without a value, False and None are left out.
    """
    given = "".join(
        f" {_name(name)}" if value is True else f' {_name(name)}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in VOID:
        return Html(f"<{tag}{given}>")
    return Html(f"<{tag}{given}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Html:
    """Return children one after another."""
    return Html("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return escape(str(child))
    return join(child)


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
