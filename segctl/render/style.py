"""Colors, and the escaping that keeps control sequences in values out of the terminal."""

from segctl.core.dataclass import dataclass


def escaped(text: str) -> str:
    """Return ``text`` on one line, with unprintable characters as backslash escapes.

    Unprintable are control characters, ANSI sequences, line breaks, bidirectional overrides,
    invisible characters and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def shortened(text: str, most: int) -> str:
    """Return ``text`` escaped, and with ``…`` at its end if it is longer than ``most``."""
    shown = escaped(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def quoted(text: str) -> str:
    """Return ``text`` escaped and in double quotes."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped(inner)}"'


def _escape(character: str) -> str:
    code = ord(character)
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@dataclass(frozen=True, kw_only=True)
class Style:
    """Text styles for a terminal. Without ``color`` they leave the text as it is."""

    color: bool = False

    def bold(self, text: str) -> str:
        """Emphasise the text."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """Mark secondary text, such as counts of what is left out."""
        return self._paint("2", text)

    def red(self, text: str) -> str:
        """Mark removals and errors."""
        return self._paint("31", text)

    def green(self, text: str) -> str:
        """Mark additions and success."""
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        """Mark changes and warnings."""
        return self._paint("33", text)

    def cyan(self, text: str) -> str:
        """Mark adopted segments and notes."""
        return self._paint("36", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text


PLAIN = Style()
"""No styles: for files, pipes and tests."""
COLOR = Style(color=True)
"""ANSI styles: for terminals."""
