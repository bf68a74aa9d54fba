"""Labels of Mermaid diagrams, which GitHub and GitLab draw."""

from segctl.render.style import escaped


def label_text(text: str) -> str:
    """Return a text for a label in quotes. No part of it is read as Mermaid, Markdown or HTML."""
    return "".join(c if c.isalnum() or c == " " else f"#{ord(c)};" for c in escaped(text))
