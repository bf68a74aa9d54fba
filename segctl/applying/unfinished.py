"""Why an apply is not complete, and what to do about it, as errors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from segctl.core.errors import (
    AppliedInPart,
    CredentialsRefused,
    NothingApplied,
    SegctlError,
    SegmentsExist,
)
from segctl.core.listing import list_first
from segctl.core.loopback import is_loopback
from segctl.core.outcomes import ASK_FOR_ACCESS, NO_CONNECTION, NOT_FOUND, Outcome
from segctl.plan.model import Plan

if TYPE_CHECKING:
    from segctl.applying.sender import SendResult

SAME_COMMAND = "Run the same command again; it goes on from there."
_NOT_SENT_AGAIN = (
    "What the service refused is not sent again. `segctl rejects list` shows memberships; correct "
    "their sources or the manifests."
)
_REFUSED_AGAIN = (
    "CleverTap refuses the same create again until the cause is removed. Remove it, then run the "
    "same command again."
)


def refused_credentials(sent: "SendResult", result: Any) -> SegctlError:
    """Return the error for credentials that the service does not accept."""
    if sent.is_nothing_applied:
        return CredentialsRefused(sent.refused_credentials, hint="Nothing was applied.")
    return AppliedInPart(sent.refused_credentials, result=result, hint=SAME_COMMAND)


def unfinished(plan: Plan, sent: "SendResult", result: Any, *, base_url: str) -> SegctlError:
    """Return the error for an apply of which something is left."""
    ledger = sent.ledger
    kind = NothingApplied if sent.is_nothing_applied else AppliedInPart
    if existing := [index for index, create in sorted(ledger.creates.items()) if create.exists]:
        return _segments_exist(plan, existing, sent, result)
    reason = _first_reason(sent)
    hint = _advise(sent, reason, base_url)
    if sent.stop_reason:
        summary = "nothing was applied; " if sent.is_nothing_applied else ""
        return kind(
            f"{summary}stopped after many requests in a row without success: {sent.stop_reason}",
            result=result,
            hint=hint,
        )
    message = _describe_counts(sent) + (f" ({reason})" if reason else "")
    return kind(message, result=result, hint=hint)


def _advise(sent: "SendResult", reason: str, base_url: str) -> str:
    """Return what to do about an apply of which something is left."""
    ended, ledger = sent.ended, sent.ledger
    failure = sent.stop_reason or reason
    if sent.is_nothing_applied and NO_CONNECTION in failure:
        return _advise_on_connection(failure, host=urlsplit(base_url).hostname or "")
    if sent.is_nothing_applied and failure.startswith(NOT_FOUND):
        return f"Check the region and the base URL. {ASK_FOR_ACCESS}"
    if any(create.outcome is Outcome.REFUSED for create in ledger.creates.values()):
        return _REFUSED_AGAIN
    if not (
        ended.refused or ended.failed or ended.uncertain or ended.not_tried or ended.not_created
    ):
        return _NOT_SENT_AGAIN
    return "Run the same command again later." if sent.is_nothing_applied else SAME_COMMAND


def _advise_on_connection(failure: str, *, host: str) -> str:
    """Return what to do about a service that was never reached."""
    if " the proxy " in failure:
        check = f"Check the proxy, or name {host} in NO_PROXY to connect directly"
    elif is_loopback(host) and "connection refused" in failure:
        check = "Is the emulator running? Start it with `segctl emulator`"
    else:
        check = "Check network and region"
    return f"{check}; then run the same command again."


def _segments_exist(
    plan: Plan, targets: Sequence[int], sent: "SendResult", result: Any
) -> SegmentsExist:
    """Return the error for segments that the state does not know and the service has."""
    addresses = [plan.targets[index].address for index in targets]
    is_single = len(addresses) == 1
    return SegmentsExist(
        f"CleverTap already has {list_first(addresses, 3)}, and the state does not know "
        f"{'it' if is_single else 'them'}; {_describe_counts(sent)}",
        result=result,
        hint="The same command again does not help. If the state was lost, restore it: "
        "segctl.state.json and segctl.state.d, both from the same backup, or the bucket's "
        "objects. To adopt "
        f"{'the segment' if is_single else 'the segments, for each of them'}: `segctl import "
        f"{addresses[0]} --members FILE`.",
    )


def _describe_counts(sent: "SendResult") -> str:
    """Count what an incomplete apply left, the most important first."""
    ended = sent.ended
    parts = [
        f"{count:,} {noun}{'' if count == 1 else 's'} {what}"
        for count, noun, what in (
            (ended.not_created, "segment", "not created"),
            (ended.quarantined, "membership", "refused and quarantined"),
            (ended.refused, "request", "refused"),
            (ended.failed, "request", "failed"),
            (ended.uncertain, "request", "without an answer"),
            (ended.not_tried, "request", "not tried"),
        )
        if count
    ]
    is_nothing = sent.is_nothing_applied
    return f"{'nothing was applied' if is_nothing else 'applied in part'}: {', '.join(parts)}"


def _first_reason(sent: "SendResult") -> str:
    """Return what was answered to the first request that did not succeed, if it is known."""
    ledger = sent.ledger
    creates = [o.detail for o in ledger.creates.values() if o.outcome is not Outcome.ACKNOWLEDGED]
    updates = [o.detail for o in ledger.updates.values() if o.outcome is not Outcome.ACKNOWLEDGED]
    return next(filter(None, (*creates, *updates, *(o.detail for o in ledger.exceptions))), "")
