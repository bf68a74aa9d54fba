"""Every error that segctl raises on purpose, grouped by what the caller does next.

    SegctlError
    ├── OperationError          the run cannot do what was asked
    │   ├── InvalidInput        the user's files have problems; holds all diagnostics
    │   ├── WrongUsage          the command line asks for something impossible
    │   ├── CredentialsRefused  the service does not accept the account or the passcode
    │   ├── WrongAccount        the state belongs to another account or host
    │   ├── StalePlan           the saved plan no longer fits
    │   │   ├── ApprovalUsed    all that was approved is applied already
    │   │   └── BeyondApproval  today's plan is more than what was approved
    │   ├── StateLocked         another run holds the lock of the state
    │   ├── StateDamaged        the state cannot be read or contradicts itself
    │   ├── StateChanged        another run replaced the head
    │   ├── ForgeFailed         GitHub or GitLab did not do what was asked
    │   └── GuardRefused        the plan changes more than its guards allow
    └── Unfinished              sending began, and something is left
        ├── AppliedInPart       some requests were not acknowledged
        ├── NothingApplied      no request was acknowledged, and none is uncertain
        ├── SegmentsHeld        segments were held back; everything else was applied
        └── Interrupted         the user interrupted the run

An error carries data and never prints. Only ``cli/errors.py`` turns errors into
text and exit codes.
"""

from collections.abc import Sequence
from typing import Any

from segctl.core.diagnostics import Diagnostic


class SegctlError(Exception):
    """Base class of all errors that segctl explains to the user.

    ``hint`` says what to do next, in one or two short sentences.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class OperationError(SegctlError):
    """The run cannot do, or cannot continue, what was asked."""


class InvalidInput(OperationError):
    """The user's files have problems; ``diagnostics`` holds all of them."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        count = len(diagnostics)
        super().__init__(f"{count} problem{'' if count == 1 else 's'} found")
        self.diagnostics = tuple(diagnostics)


class WrongUsage(OperationError):
    """The command line asks for something impossible."""


class CredentialsRefused(OperationError):
    """The service answered 401 or 403, or there are no credentials."""


class WrongAccount(OperationError):
    """The state belongs to another account or host than this run would write to."""


class StalePlan(OperationError):
    """A saved plan does not fit the current account, state or manifests."""


class BeyondApproval(StalePlan):
    """Today's plan is more than the approved one; ``check`` is an ``ApprovalCheck``."""

    def __init__(self, message: str, *, check: Any, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.check = check


class ApprovalUsed(StalePlan):
    """Everything that was approved is applied already."""


class StateLocked(OperationError):
    """Another run holds the lock; ``holder`` describes it."""

    def __init__(self, message: str, *, holder: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.holder = holder


class StateDamaged(OperationError):
    """A head, member file or journal is missing, is unreadable or contradicts another."""


class WrongState(StateDamaged):
    """The state is missing, older than its history, or not the one of this workspace."""


class StateChanged(OperationError):
    """Another run replaced the head, or broke the lock, after this run read the state."""


class ForgeFailed(OperationError):
    """The forge refused a request or did not answer.

    ``status`` is the HTTP status of its answer, ``None`` without one. If it is ``uncertain``, the
    request may have been done.
    """

    def __init__(
        self, message: str, *, hint: str = "", status: int | None = None, uncertain: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.uncertain = uncertain


class GuardRefused(OperationError):
    """A guard tripped; ``findings`` are the plan's findings of severity error."""

    def __init__(self, message: str, *, findings: Sequence[Any] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class Unfinished(SegctlError):
    """Sending began, and something is left; the state has what was acknowledged."""


class AppliedInPart(Unfinished):
    """Some requests were not acknowledged; ``result`` holds the outcome of each."""

    def __init__(self, message: str, *, result: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.result = result


class SegmentsExist(AppliedInPart):
    """Segments to create exist already; ``result`` holds the outcome of each request."""


class NothingApplied(Unfinished):
    """CleverTap certainly did nothing; ``result`` holds the outcome of each request."""

    def __init__(self, message: str, *, result: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.result = result


class SegmentsHeld(Unfinished):
    """Segments were held back with ``--hold``; everything else was applied.

    ``findings`` say which, and why.
    """

    def __init__(self, message: str, *, findings: Sequence[Any] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class Interrupted(Unfinished):
    """The user interrupted the run; the state is saved."""
