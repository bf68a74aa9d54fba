"""Upload: profiles and device tokens, which decide who can be reached.

The vendor's call accepts much more, such as custom events, which are refused here.  A
profile keeps the fields it is given, and three of them count for reach: an e-mail
address, a phone number and a device token, each unless the profile opted out of the
channel.  An invalid record is left out and reported with the vendor's code.
"""

from typing import Any

from starlette.responses import Response

from segctl.emulator.calls.vendor_call import VendorRequest, json_response
from segctl.emulator.errors import RequestError, bad_request
from segctl.emulator.reading.events import EVENT_NAME
from segctl.emulator.service import Service
from segctl.emulator.storage.changes import ProfileRecord
from segctl.emulator.storage.state import REACH_BITS

NO_EVENT_NAME = 509
RESTRICTED_EVENT = 513
BAD_FIELD = 514
BAD_EMAIL = 515
BAD_PHONE = 516
NO_IDENTITY = 523
NOT_A_PROFILE = 524
BAD_OBJECT_ID = 526
BAD_TOKEN = 530

MAX_NAME_BYTES = 120
MAX_VALUE_BYTES = 512


def upload(service: Service, request: VendorRequest) -> Response:
    """Handle an upload."""
    document = request.document
    records = document.get("d") if isinstance(document, dict) else None
    if not isinstance(records, list) or not records:
        raise bad_request("d must be an array with at least one record")
    if len(records) > service.settings.max_upload_records:
        raise bad_request(f"at most {service.settings.max_upload_records} records in one request")
    valid: list[ProfileRecord] = []
    invalid: list[dict[str, Any]] = []
    for number, record in enumerate(records, start=1):
        try:
            valid.append(parse_record(record))
        except RequestError as error:
            text = f"{error.text}. Skipped record number : {number}"
            invalid.append({"status": "fail", "code": error.code, "error": text, "record": record})
    if request.query.get("dryRun") != "1":
        service.store.save_profiles(
            request.account,
            valid,
            points_per_field=service.settings.data_points_per_profile_field,
        )
    status = "success" if not invalid else "partial" if valid else "fail"
    return json_response({"status": status, "processed": len(valid), "unprocessed": invalid})


def parse_record(record: Any) -> ProfileRecord:
    """Read one record; raises RequestError with the vendor's code for the record."""
    if not isinstance(record, dict):
        raise _invalid(NOT_A_PROFILE, "Record is neither an event nor a profile")
    identity = _parse_key(record.get("identity"), NO_IDENTITY)
    guid = _parse_key(record.get("objectId"), BAD_OBJECT_ID)
    if identity is None and guid is None:
        raise _invalid(NO_IDENTITY, "Record has no identity or objectId")
    if record.get("type") == "profile":
        fields = _parse_fields(record.get("profileData"))
    elif record.get("type") == "token":
        fields = {"tokens": [_parse_token(record.get("tokenData"))]}
    elif record.get("type") == "event":
        raise _refuse_event(record.get("evtName"))
    else:
        raise _invalid(NOT_A_PROFILE, "Only records of type profile and token are emulated")
    return ProfileRecord(identity=identity, guid=guid, fields=fields)


def _refuse_event(name: Any) -> RequestError:
    """Return the refusal of an event. Documented: its codes, of which 513 is for system events."""
    if not isinstance(name, str) or not name:
        return _invalid(NO_EVENT_NAME, "Event name is missing")
    if name == EVENT_NAME:
        return _invalid(RESTRICTED_EVENT, f"{EVENT_NAME} is a restricted system event")
    return _invalid(NOT_A_PROFILE, "Only records of type profile and token are emulated")


def _parse_key(value: Any, code: int) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or value.isspace():
        raise _invalid(code, "Identity or objectId is not valid")
    return value


def _parse_fields(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _invalid(NOT_A_PROFILE, "profileData is not an object")
    for name, value in data.items():
        if not name or len(name.encode()) > MAX_NAME_BYTES:
            raise _invalid(BAD_FIELD, "Profile field name is not valid")
        if isinstance(value, str) and len(value.encode()) > MAX_VALUE_BYTES:
            raise _invalid(BAD_FIELD, "Profile field value is too long")
    email, phone = data.get("Email"), data.get("Phone")
    if email is not None and not (isinstance(email, str) and _is_email(email)):
        raise _invalid(BAD_EMAIL, "Email is not valid")
    if phone is not None and not (isinstance(phone, str) and _is_phone(phone)):
        raise _invalid(BAD_PHONE, "Phone is not valid: + and country code needed")
    for channel in REACH_BITS:
        if not isinstance(data.get(f"MSG-{channel}", True), bool):
            raise _invalid(BAD_FIELD, f"MSG-{channel} is not true or false")
    return {name: value for name, value in data.items() if name != "tokens"}


def _is_email(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return not text or bool(local and "." in domain and not any(map(str.isspace, text)))


def _is_phone(text: str) -> bool:
    digits = text.removeprefix("+")
    return not text or (text != digits and digits.isascii() and digits.isdecimal())


def _parse_token(data: Any) -> dict[str, str]:
    if not isinstance(data, dict):
        raise _invalid(BAD_TOKEN, "tokenData is not an object")
    token = {name: data.get(name) for name in ("id", "type")}
    if not all(isinstance(value, str) and value for value in token.values()):
        raise _invalid(BAD_TOKEN, "tokenData needs an id and a type")
    return {name: str(value) for name, value in token.items()}


def _invalid(code: int, text: str) -> RequestError:
    return RequestError(200, text, code=code)
