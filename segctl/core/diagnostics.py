"""A problem in the user's input: where it is, what is wrong, what to do."""

from enum import StrEnum

from segctl.core.dataclass import dataclass


class Severity(StrEnum):
    """The severity of a diagnostic or finding. An error stops the run."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, kw_only=True, order=True)
class Location:
    """A position in a file of the workspace.

    ``file`` is relative to the workspace root, with forward slashes. ``line`` and ``column``
    start at 1; 0 means the whole file or the whole line.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return ``file:line:column``, without the parts that are 0."""
        parts = (self.file, self.line, self.column)
        return ":".join(str(part) for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """One problem: ``summary`` says what is wrong, ``detail`` what to do about it.

    ``code`` is a stable name in kebab case for programs to match.
    """

    code: str
    summary: str
    detail: str = ""
    location: Location | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Return the diagnostic in one line, for logs and plain output."""
        location = f"{self.location}: " if self.location else ""
        detail = f" {self.detail}" if self.detail else ""
        return f"{location}{self.severity}: {self.summary}{detail}"
