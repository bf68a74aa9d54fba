"""Every error that segctl raises on purpose, grouped by what the caller does next.

    SegctlError
    ├── Stop                    nothing more can be done in this run
    │   ├── InvalidInput        the user's files; holds all diagnostics at once
    │   ├── WrongUsage          the command line
    │   ├── CredentialsRefused  the service knows neither account nor passcode here
    │   ├── WrongAccount        the state belongs to another account or host
    │   ├── StalePlan           the saved plan no longer fits
    │   ├── StateLocked         another run holds the state
    │   ├── StateDamaged        the record cannot be read or does not add up
    │   ├── StateChanged        another writer replaced the head in between
    │   └── GuardRefused        the plan is larger than its guards allow
    └── Unfinished              something was sent; what is left can go on
        ├── AppliedInPart       some requests have no acknowledgement
        └── Interrupted         the user asked to stop

An error carries data; building one never prints.  ``cli/main.py`` is the one
place that turns them into exit codes.
"""

from collections.abc import Sequence
from typing import Any

from segctl.core.diagnostics import Diagnostic


class SegctlError(Exception):
    """Base of all errors that segctl explains to its user.

    ``hint`` says what to do next, in one or two short sentences.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class OperationError(SegctlError):
    """Nothing was sent by this run, or nothing more can be."""


class InvalidInput(OperationError):
    """The user's files have problems; ``diagnostics`` holds all of them."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        count = len(diagnostics)
        super().__init__(f"{count} problem{'' if count == 1 else 's'} found")
        self.diagnostics = tuple(diagnostics)


class WrongUsage(OperationError):
    """The command line asks for something that cannot be."""


class CredentialsRefused(OperationError):
    """The service answered 401 or 403, or credentials are absent."""


class WrongAccount(OperationError):
    """The state belongs to another account or host than this run would write to."""


class StalePlan(OperationError):
    """A saved plan does not fit the present account, state or manifests."""


class StateLocked(OperationError):
    """Another run holds the lock; ``holder`` describes it."""

    def __init__(self, message: str, *, holder: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.holder = holder


class StateDamaged(OperationError):
    """A head, member file or journal is missing, unreadable or contradicts another."""


class StateChanged(OperationError):
    """The head was replaced by another writer since it was read."""


class GuardRefused(OperationError):
    """A guard tripped; ``findings`` are the plan's findings of severity error."""

    def __init__(self, message: str, *, findings: Sequence[Any] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class Unfinished(SegctlError):
    """Something was sent; the same command again goes on from there."""


class AppliedInPart(Unfinished):
    """Some requests were not acknowledged; ``result`` says which became of what."""

    def __init__(self, message: str, *, result: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.result = result


class Interrupted(Unfinished):
    """The user interrupted the run; state is saved."""
