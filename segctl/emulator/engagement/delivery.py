"""Webhook requests: their body, their signature, and what an answer means.

Documented: the body (``targetId``, ``key_values``, ``profiles``), in two spellings; that
a request which fails is repeated; time and number of repeats, in two readings.  The
headers are our own, and which failures are repeated is inferred.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from segctl.emulator.engagement.campaign import Campaign, Webhook
from segctl.emulator.errors import InvalidFieldError
from segctl.emulator.hosts import is_loopback
from segctl.emulator.settings import Settings
from segctl.emulator.storage.state import User

MAX_ANSWER_BYTES = 64 * 1024
"""Bytes read of an answer. The rest is not read, and only the status counts."""

DELIVERY_HEADER = "X-Emulator-Delivery"
ATTEMPT_HEADER = "X-Emulator-Attempt"
TIMESTAMP_HEADER = "X-Emulator-Timestamp"
SIGNATURE_HEADER = "X-Emulator-Signature"

TIMEOUT = "timeout"
CONNECTION_FAILED = "connection_failed"
CONNECTION_LOST = "connection_lost"
REDIRECT = "redirect"
REFUSED_STATUS = "refused"
NOT_ALLOWED = "address_not_allowed"

PROFILE_KEYS = {"email": "Email", "phone": "Phone", "name": "Name"}
"""Profile fields that the payload has outside ``profileData``, by their name there."""


class Limits(NamedTuple):
    """How long a request may take, in seconds, and how often it is repeated."""

    seconds: float
    retries: int


LIMITS: Mapping[str, Limits] = {
    "5_seconds_2_retries": Limits(5.0, 2),
    "3_seconds_1_retry": Limits(3.0, 1),
}
"""The two readings of the vendor's pages, by the choices of the setting ``webhook_limits``."""


class Answer(NamedTuple):
    """What came of a request: the status, or the kind of error."""

    status: int | None
    error: str | None

    @property
    def is_final(self) -> bool:
        """Whether a repeat would not help: accepted, or refused by a receiver that works."""
        if self.error is None or self.error in {REDIRECT, NOT_ALLOWED}:
            return True
        is_refusal = self.status is not None and self.status < 500
        return is_refusal and self.status not in {408, 425, 429}


class Recipient(NamedTuple):
    """A user in a payload."""

    user: User
    object_id: str
    fields: Mapping[str, Any]
    """Uploaded profile fields."""
    event_properties: Mapping[str, Any] | None


def check_url(url: str, *, settings: Settings, is_exposed: bool) -> None:
    """Check that a webhook may be sent to an address; raises InvalidFieldError.

    Only this machine is allowed unless the setting ``webhook_hosts`` names the host, so
    that a copied configuration sends nothing to anybody.  If other machines can reach
    the emulator (``is_exposed``), this machine must be named too: services that trust
    local requests must not be open to anyone who can create a campaign.
    """
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidFieldError(f"webhook.url is not an address: {error}") from error
    if parsed.scheme not in {"http", "https"} or not host:
        raise InvalidFieldError("webhook.url must start with http:// or https:// and name a host")
    if parsed.userinfo:
        raise InvalidFieldError(
            "webhook.url must not contain a user or password: use webhook.secret"
        )
    if parsed.port is not None and not 0 < parsed.port < 1 << 16:
        raise InvalidFieldError("webhook.url has no valid port")
    is_named = host in {each.lower() for each in settings.webhook_hosts}
    if not is_named and (is_exposed or not is_loopback(host)):
        allowed = "named hosts" if is_exposed else "this machine and named hosts"
        raise InvalidFieldError(
            f"webhook.url: webhooks are sent only to {allowed}; to allow it, add "
            f"{host!r:.120} to the setting webhook_hosts"
        )


def payload(campaign: Campaign, recipients: Sequence[Recipient], *, settings: Settings) -> bytes:
    """Return the body of a request, in the form of the vendor's sample."""
    key_values = (
        {} if campaign.definition.webhook is None else campaign.definition.webhook.key_values
    )
    profile = _lower_case if settings.webhook_payload == "lower_case" else _capitalized
    document = {
        "targetId": campaign.id,
        "key_values": key_values,
        "profiles": [profile(each, key_values) for each in recipients],
    }
    return json.dumps(document).encode()


def _lower_case(recipient: Recipient, key_values: Mapping[str, str]) -> dict[str, Any]:
    fields = dict(recipient.fields)
    fields.pop("tokens", None)
    profile: dict[str, Any] = {"key_values": key_values}
    known = {key: fields.pop(name, None) for key, name in PROFILE_KEYS.items()}
    profile |= {key: value for key, value in known.items() if value is not None}
    if recipient.user.kind == "identity":
        profile |= {
            "identity": recipient.user.value,
            "all_identities": [recipient.user.value],
        }
    profile |= {"objectId": recipient.object_id, "profileData": fields}
    if recipient.event_properties is not None:
        profile["event_properties"] = recipient.event_properties
    return profile


def _capitalized(recipient: Recipient, _key_values: Mapping[str, str]) -> dict[str, Any]:
    fields = dict(recipient.fields)
    tokens = fields.pop("tokens", None)
    profile: dict[str, Any] = {}
    if (email := fields.pop("Email", None)) is not None:
        profile["Email"] = email
    if recipient.user.kind == "identity":
        profile["Identity"] = recipient.user.value
    profile |= {"ObjectId": recipient.object_id, "ProfileData": fields}
    if recipient.event_properties is not None:
        profile["Event_properties"] = recipient.event_properties
    if tokens:
        profile["Push_token"] = tokens[0]["id"]
    return profile


def request_headers(
    webhook: Webhook, body: bytes, *, delivery_id: str, attempt: int, now: float
) -> dict[str, str]:
    """Return the headers of a request. The names are our own.

    The signature is HMAC-SHA256, with the secret as the key, of the timestamp, a dot and
    the body.  The delivery id is the same in every attempt.
    """
    timestamp = str(int(now))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "segctl-emulator",
        "Accept-Encoding": "identity",
        DELIVERY_HEADER: delivery_id,
        ATTEMPT_HEADER: str(attempt),
        TIMESTAMP_HEADER: timestamp,
    }
    if webhook.secret is not None:
        signed = hmac.new(webhook.secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
        headers[SIGNATURE_HEADER] = f"sha256={signed.hexdigest()}"
    return headers


async def post(
    transport: httpx.AsyncBaseTransport,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
) -> Answer:
    """Send a request and return what came of it.

    The whole answer must arrive within ``seconds``, up to ``MAX_ANSWER_BYTES``.  There is
    no client around the transport: it would keep the cookies of receivers, and parse
    where a redirect leads.
    """
    request = httpx.Request("POST", url, content=body, headers=headers)
    try:
        async with asyncio.timeout(seconds):
            response = await transport.handle_async_request(request)
            async with contextlib.aclosing(response):
                # A transport without a socket may have read the answer already.
                if not response.is_stream_consumed:
                    await _read_bounded(response)
            return _answer_of_status(response.status_code)
    except (TimeoutError, httpx.TimeoutException):
        return Answer(None, TIMEOUT)
    except (httpx.ConnectError, UnicodeError):
        # A resolver refuses some names, such as one with a label over 63 bytes, as text.
        return Answer(None, CONNECTION_FAILED)
    except httpx.HTTPError:
        return Answer(None, CONNECTION_LOST)


async def _read_bounded(response: httpx.Response) -> None:
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return


def _answer_of_status(status: int) -> Answer:
    if 200 <= status < 300:
        return Answer(status, None)
    return Answer(status, REDIRECT if 300 <= status < 400 else REFUSED_STATUS)
