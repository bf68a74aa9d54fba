"""The result of one check of ``segctl doctor`` or ``segctl verify``."""

from collections.abc import Sequence
from enum import StrEnum

from segctl.core.dataclass import dataclass


class Status(StrEnum):
    """How a check ended. A problem makes some command fail; a warning may be intended."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: what it looked at, what it found, and what to do about it.

    ``summary`` and ``advice`` have no secrets and no user keys. ``advice`` is empty if there is
    nothing to do.
    """

    topic: str
    status: Status = Status.OK
    summary: str
    advice: str = ""


def has_problem(checks: Sequence[Check]) -> bool:
    """Whether one of the checks found a problem."""
    return any(check.status is Status.PROBLEM for check in checks)
