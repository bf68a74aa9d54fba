"""Colours and escapes for terminals, and nothing that a value could smuggle into one."""

from dataclasses import dataclass


def escaped(text: str) -> str:
    """Give ``text`` with everything unprintable written as a backslash escape.

    Covers control characters, ANSI sequences, line breaks, bidirectional overrides,
    invisible characters and lone surrogates; the result is a single line.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def quoted(text: str) -> str:
    """Give ``text`` in double quotes, so that its ends and its kind are plain to see."""
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
    """How to emphasise; plain unless ``colour``."""

    colour: bool = False

    def bold(self, text: str) -> str:
        """Make it stand out."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """Put it in the background."""
        return self._paint("2", text)

    def red(self, text: str) -> str:
        """Mark what goes away or went wrong."""
        return self._paint("31", text)

    def green(self, text: str) -> str:
        """Mark what comes or went well."""
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        """Mark what changes or deserves a look."""
        return self._paint("33", text)

    def cyan(self, text: str) -> str:
        """Mark what is taken over or told by the way."""
        return self._paint("36", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


PLAIN = Style()
"""No colours: for files, pipes and tests."""
COLOUR = Style(colour=True)
"""ANSI colours: for terminals."""
