"""Get User Profiles: look up one profile by identity, e-mail or CleverTap id.

The vendor's record has many more fields.  This one has what the emulator stores, and
answers above all whether the profile exists.
"""

from typing import Any

from starlette.responses import Response

from segctl.emulator.calls.vendor_call import VendorRequest, json_response
from segctl.emulator.errors import bad_request
from segctl.emulator.service import Service
from segctl.emulator.storage.state import Account, User

KEYS = ("identity", "email", "objectId")


def get_profile(service: Service, request: VendorRequest) -> Response:
    """Answer with the profile's record, or null if there is no such profile."""
    keys = [(key, value) for key in KEYS if (value := request.query.get(key))]
    if len(keys) != 1:
        raise bad_request(f"one of {', '.join(KEYS)} is required")
    ((key, value),) = keys
    account = request.account
    number = (
        _find_by_email(service, account, value)
        if key == "email"
        else account.profiles.find(User("identity" if key == "identity" else "guid", value))
    )
    record = None if number is None else _record(account, number)
    return json_response({"status": "success", "record": record})


def _find_by_email(service: Service, account: Account, email: str) -> int | None:
    row = service.store.database.connection.execute(
        "SELECT number FROM profiles WHERE account = ? AND json_extract(data, '$.Email') = ? "
        "ORDER BY number",
        (account.number, email),
    ).fetchone()
    return None if row is None else int(row[0])


def _record(account: Account, number: int) -> dict[str, Any]:
    fields = account.profiles.fields(number)
    identity, _ = account.profiles.keys_of([number])[number]
    return {
        **({} if identity is None else {"identity": identity, "all_identities": [identity]}),
        "profileData": {name: value for name, value in fields.items() if name != "tokens"},
        "platformInfo": [{"objectId": account.profiles.object_id(number)}],
    }
