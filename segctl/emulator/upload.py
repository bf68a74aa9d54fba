"""Upload: profiles and device tokens, as far as they decide who can be reached.

The vendor's call takes far more (events, every profile field).  Here a profile
keeps what it is given, and three things count: an e-mail address, a phone number
and a device token, each unless the profile opted out of that channel.  A record
that is wrong is left out, and reported beside the others under the vendor's code.
"""

from dataclasses import dataclass
from typing import Any

from segctl.emulator.bodies import incorrect
from segctl.emulator.calls import Answer, Incoming, answer
from segctl.emulator.errors import RequestError
from segctl.emulator.service import Service
from segctl.emulator.state import REACH_BITS

BAD_FIELD = 514
BAD_EMAIL = 515
BAD_PHONE = 516
NO_IDENTITY = 523
NOT_A_PROFILE = 524
BAD_OBJECT_ID = 526
BAD_TOKEN = 530

CHANNEL_FIELDS = {"email": "Email", "sms": "Phone", "push": "tokens"}
LONGEST_KEY = 120
LONGEST_VALUE = 512


@dataclass(frozen=True, kw_only=True)
class ProfileRecord:
    """One profile to make or to change: its keys, and fields to set."""

    identity: str | None
    guid: str | None
    fields: dict[str, Any]


def upload(service: Service, incoming: Incoming) -> Answer:
    """Answer an upload."""
    document = incoming.document
    records = document.get("d") if isinstance(document, dict) else None
    if not isinstance(records, list) or not records:
        raise incorrect("d must be an array with at least one record")
    if len(records) > service.settings.max_upload_records:
        raise incorrect(f"at most {service.settings.max_upload_records} records in one request")
    good: list[ProfileRecord] = []
    bad: list[dict[str, Any]] = []
    for number, record in enumerate(records, start=1):
        try:
            good.append(parse_record(record))
        except RequestError as error:
            text = f"{error.text}. Skipped record number : {number}"
            bad.append({"status": "fail", "code": error.code, "error": text, "record": record})
    if incoming.query.get("dryRun") != "1":
        service.store.save_profiles(
            incoming.account,
            [(each.identity, each.guid, each.fields) for each in good],
            reach_of=reach_of,
            points_per_field=service.settings.data_points_per_profile_field,
        )
    status = "success" if not bad else "partial" if good else "fail"
    return answer({"status": status, "processed": len(good), "unprocessed": bad})


def reach_of(fields: dict[str, Any]) -> int:
    """Return the channels, as bits, on which a profile with these fields is reached."""
    return sum(
        bit
        for channel, bit in REACH_BITS.items()
        if fields.get(CHANNEL_FIELDS[channel]) and fields.get(f"MSG-{channel}") is not False
    )


def parse_record(record: Any) -> ProfileRecord:
    """Read one record; raises RequestError with the vendor's record code."""
    if not isinstance(record, dict):
        raise _wrong(NOT_A_PROFILE, "Record is neither an event nor a profile")
    identity = _key(record.get("identity"), NO_IDENTITY)
    guid = _key(record.get("objectId"), BAD_OBJECT_ID)
    if identity is None and guid is None:
        raise _wrong(NO_IDENTITY, "Record has no identity or objectId")
    if record.get("type") == "profile":
        fields = _profile_fields(record.get("profileData"))
    elif record.get("type") == "token":
        fields = {"tokens": [_token(record.get("tokenData"))]}
    else:
        raise _wrong(NOT_A_PROFILE, "Only records of type profile and token are emulated")
    return ProfileRecord(identity=identity, guid=guid, fields=fields)


def _key(value: Any, code: int) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or value.isspace():
        raise _wrong(code, "Identity or objectId is not valid")
    return value


def _profile_fields(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _wrong(NOT_A_PROFILE, "profileData is not an object")
    for name, value in data.items():
        if not name or len(name.encode()) > LONGEST_KEY:
            raise _wrong(BAD_FIELD, "Profile field name is not valid")
        if isinstance(value, str) and len(value.encode()) > LONGEST_VALUE:
            raise _wrong(BAD_FIELD, "Profile field value is too long")
    email, phone = data.get("Email"), data.get("Phone")
    if email is not None and not (isinstance(email, str) and _is_email(email)):
        raise _wrong(BAD_EMAIL, "Email is not valid")
    if phone is not None and not (isinstance(phone, str) and _is_phone(phone)):
        raise _wrong(BAD_PHONE, "Phone is not valid: + and country code needed")
    for channel in REACH_BITS:
        if not isinstance(data.get(f"MSG-{channel}", True), bool):
            raise _wrong(BAD_FIELD, f"MSG-{channel} is not true or false")
    return {name: value for name, value in data.items() if name != "tokens"}


def _is_email(text: str) -> bool:
    before, at, after = text.rpartition("@")
    return not text or bool(before and at and "." in after and not any(map(str.isspace, text)))


def _is_phone(text: str) -> bool:
    digits = text.removeprefix("+")
    return not text or (text != digits and digits.isascii() and digits.isdecimal())


def _token(data: Any) -> dict[str, str]:
    if not isinstance(data, dict):
        raise _wrong(BAD_TOKEN, "tokenData is not an object")
    found = {name: data.get(name) for name in ("id", "type")}
    if not all(isinstance(value, str) and value for value in found.values()):
        raise _wrong(BAD_TOKEN, "tokenData needs an id and a type")
    return {name: str(value) for name, value in found.items()}


def _wrong(code: int, text: str) -> RequestError:
    return RequestError(status=200, code=code, text=text)
