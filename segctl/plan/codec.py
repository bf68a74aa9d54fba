"""Encode a plan as JSON without loss, for saved plans and journals.

This is a private format that only segctl reads. It contains the sampled identities in
full. The plan document for other programs is ``render/json_document.py``.
"""

from collections.abc import Mapping
from typing import Any

from segctl import __version__
from segctl.core.codec import DecodeError, from_plain, to_plain
from segctl.core.errors import OperationError, StalePlan
from segctl.plan.model import Plan

VERSION = 4
"""The format version of a saved plan. Raise it when the shape or the meaning changes.

In version 3, a second file had the changes of each entry, and the lower bound had no certificate.
In version 2, the digest covered neither what an approval allows nor what is recorded of sources.
"""

_OLDEST_OF_JOURNALS = 2
"""The oldest version that a journal may have. Only what was sent is read from it."""

_HINT = "Make a new plan with `segctl plan --out FILE`."


def encode(plan: Plan) -> dict[str, Any]:
    """Return a plan as a JSON object: the format version, and the plan's fields."""
    return {"version": VERSION, "segctl_version": plan.segctl_version, "plan": to_plain(plan)}


def decode(document: Mapping[str, Any]) -> Plan:
    """Return the plan that ``encode`` encoded.

    Raises ``StalePlan`` for an older format, and ``OperationError`` for a newer format or
    for a document that is not a plan.
    """
    check_version(document)
    return _decode_fields(document)


def decode_of_journal(document: Mapping[str, Any]) -> Plan:
    """Return the plan of an apply, which an older segctl may have begun; raises as ``decode``."""
    check_version(document, oldest=_OLDEST_OF_JOURNALS)
    return _decode_fields(document)


def _decode_fields(document: Mapping[str, Any]) -> Plan:
    try:
        return from_plain(Plan, document.get("plan"))
    except DecodeError as error:
        raise OperationError(f"the saved plan cannot be read: {error}", hint=_HINT) from error


def check_version(document: Mapping[str, Any], *, oldest: int = VERSION) -> None:
    """Raise the errors of ``decode`` unless the document has a format from ``oldest`` on."""
    version, writer = document.get("version"), document.get("segctl_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise OperationError("this is not a saved plan of segctl: it has no version", hint=_HINT)
    if version > VERSION:
        raise OperationError(
            f"the plan was saved by segctl {writer} in format {version}; "
            f"this is segctl {__version__}, which reads format {VERSION}",
            hint=f"Upgrade segctl to {writer} or newer, or make a new plan.",
        )
    if version < oldest:
        raise StalePlan(f"the plan was saved by an older segctl ({writer})", hint=_HINT)
