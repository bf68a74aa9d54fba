"""The account id and passcode of the service, and their form. They appear in no message."""

import string
from dataclasses import field

from segctl.core.dataclass import dataclass
from segctl.core.errors import CredentialsRefused

ACCOUNT_VARIABLE, PASSCODE_VARIABLE = "CLEVERTAP_ACCOUNT_ID", "CLEVERTAP_PASSCODE"
_VISIBLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """An account id and its passcode. Raises ``CredentialsRefused`` if one cannot be sent."""

    account_id: str
    passcode: str = field(repr=False)

    def __post_init__(self) -> None:
        check_credential(ACCOUNT_VARIABLE, self.account_id)
        check_credential(PASSCODE_VARIABLE, self.passcode)


def check_credential(variable: str, value: str) -> None:
    """Raise ``CredentialsRefused`` for a value that cannot be sent. The value is not shown."""
    if not value:
        raise CredentialsRefused(
            f"{variable} is not set or empty", hint=f"Set {variable} in the environment."
        )
    if not _VISIBLE.issuperset(value):
        has_line_break = not {"\n", "\r"}.isdisjoint(value)
        problem = "a line break" if has_line_break else "a space or a special character"
        raise CredentialsRefused(
            f"{variable} contains {problem}",
            hint="CleverTap credentials are printable ASCII without spaces. "
            f"Set {variable} again; a value read from a file often ends with a line break.",
        )
