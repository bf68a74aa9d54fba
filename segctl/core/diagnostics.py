"""A problem in the user's input: where it is, what is wrong, what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a diagnostic or finding matters: an error stops, a warning informs."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, kw_only=True, order=True)
class Location:
    """A place in a file of the workspace.

    ``file`` is relative to the workspace root, with forward slashes; ``line``
    and ``column`` count from 1, 0 where the file as a whole is meant.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Give ``file:line:column``, as compilers do."""
        if not self.line:
            return self.file
        return (
            f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"
        )


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """One problem: ``summary`` says what is wrong, ``detail`` what to do about it.

    ``code`` is a stable kebab-case name that machines can match.
    """

    code: str
    summary: str
    detail: str = ""
    location: Location | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Give one line for logs and plain output."""
        where = f"{self.location}: " if self.location else ""
        advice = f" {self.detail}" if self.detail else ""
        return f"{where}{self.severity}: {self.summary}{advice}"
