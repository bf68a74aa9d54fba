"""Remove credentials and identities from what a report quotes."""

import json
import re
from collections.abc import Collection
from typing import Any

LONGEST_QUOTE = 2_000
"""The most characters of a body that a report shows."""

_EMAIL = re.compile(r"[^\s@<>\"',;:]+@[^\s@<>\"',;:]+")


class Masker:
    """Masks secrets and identities. ``stem`` starts every identity of the probe."""

    def __init__(self, *, stem: str, secrets: Collection[str]) -> None:
        self._users = re.compile(re.escape(stem) + r"-(?:identity|guid)-(\w+)", re.IGNORECASE)
        longest_first = sorted(filter(None, secrets), key=len, reverse=True)
        # A short secret is masked only as a whole word, or it would mask half the text.
        self._secrets = re.compile(
            "|".join(
                re.escape(each) if len(each) >= 4 else rf"(?<!\w){re.escape(each)}(?!\w)"
                for each in longest_first
            )
            or r"(?!)",
            re.IGNORECASE,
        )
        self._numbers: list[str] = []

    def hide_number(self, number: int) -> None:
        """Treat this number as an identity."""
        self._numbers.append(str(number))

    def text(self, body: bytes | str) -> str:
        """Return a body with secrets masked, shortened."""
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        text = self._secrets.sub("[hidden]", text)
        text = self._users.sub(r"[\1]", text)
        for number in self._numbers:
            text = text.replace(number, "[number]")
        text = _EMAIL.sub("[hidden]", text)
        return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1]}…"

    def document(self, document: Any) -> str:
        """Return a JSON document with secrets masked, shortened."""
        return self.text(json.dumps(document, ensure_ascii=False))
