"""The plan as JSON, complete and without loss; the form in which it is saved.

Not the plan document that the outside reads (``render/json_document.py``): this
one holds the sampled identities in full, and is read back by segctl alone.
"""

from collections.abc import Mapping
from typing import Any

from segctl import __version__
from segctl.core.codec import DecodeError, from_plain, to_plain
from segctl.core.errors import OperationError, StalePlan
from segctl.plan.model import Plan

VERSION = 2
"""The format of a saved plan; raised whenever its shape or its meaning changes."""

_ADVICE = "Make a new one with `segctl plan --out FILE`."


def encode(plan: Plan) -> dict[str, Any]:
    """Give a plan as a JSON object: a format version and the plan's fields."""
    return {"version": VERSION, "segctl_version": plan.segctl_version, "plan": to_plain(plan)}


def decode(document: Mapping[str, Any]) -> Plan:
    """Read what ``encode`` gave.

    Raises ``StalePlan`` for an older format, ``OperationError`` for a newer one and for what is
    no plan.
    """
    check_version(document)
    try:
        return from_plain(Plan, document.get("plan"))
    except DecodeError as misfit:
        raise OperationError(f"the saved plan cannot be read: {misfit}", hint=_ADVICE) from misfit


def check_version(document: Mapping[str, Any]) -> None:
    """Refuse a document of another format than ours; errors as in ``decode``."""
    version, writer = document.get("version"), document.get("segctl_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise OperationError("this is not a saved plan of segctl: it has no version", hint=_ADVICE)
    if version > VERSION:
        raise OperationError(
            f"the plan was saved by segctl {writer} in format {version}; "
            f"this is segctl {__version__}, which reads format {VERSION}",
            hint=f"Upgrade segctl to {writer} or newer, or make a new plan.",
        )
    if version < VERSION:
        raise StalePlan(f"the plan was saved by an older segctl ({writer})", hint=_ADVICE)
