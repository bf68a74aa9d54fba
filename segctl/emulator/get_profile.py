"""Get User Profiles, for one profile: who somebody is, by identity, e-mail or CleverTap id.

The vendor's record has far more in it.  Here it tells what the emulator knows, and
above all whether there is such a profile.
"""

import json
from typing import Any

from segctl.emulator.bodies import incorrect
from segctl.emulator.calls import Answer, Incoming, answer
from segctl.emulator.service import Service
from segctl.emulator.state import Account, User

KEYS = ("identity", "email", "objectId")


def profile(service: Service, incoming: Incoming) -> Answer:
    """Answer with a profile's record, null where there is none."""
    given = {key: value for key in KEYS if (value := incoming.query.get(key))}
    if len(given) != 1:
        raise incorrect(f"one of {', '.join(KEYS)} is required")
    ((key, value),) = given.items()
    account = incoming.account
    number = (
        _by_email(service, account, value)
        if key == "email"
        else account.profiles.find(User("identity" if key == "identity" else "guid", value))
    )
    record = None if number is None else _record(service, account, number)
    return answer({"status": "success", "record": record})


def _by_email(service: Service, account: Account, email: str) -> int | None:
    row = service.store.database.connection.execute(
        "SELECT number FROM profiles WHERE account = ? AND json_extract(data, '$.Email') = ? "
        "ORDER BY number",
        (account.number, email),
    ).fetchone()
    return None if row is None else int(row[0])


def _record(service: Service, account: Account, number: int) -> dict[str, Any]:
    row = service.store.database.connection.execute(
        "SELECT data FROM profiles WHERE account = ? AND number = ?", (account.number, number)
    ).fetchone()
    fields = json.loads(row[0]) if row and row[0] else {}
    identity, _ = account.profiles.names[number]
    named = {} if identity is None else {"identity": identity, "all_identities": [identity]}
    return {
        **named,
        "profileData": {name: value for name, value in fields.items() if name != "tokens"},
        "platformInfo": [{"objectId": account.profiles.object_id(number)}],
    }
