"""The errors the emulator raises, and the vendor's form of an error.

EmulatorError
├── RequestError           a request is refused, in the vendor's form
├── InvalidFieldError      a field of a campaign is invalid
├── InvalidSettingsError   a settings or fault plan document is invalid
├── DataInUseError         another process uses the data folder
├── DataFormatError        the data folder is damaged or of another version
├── ExposedError           listening beyond loopback is not allowed
├── DataDeletedError       the data that is being read was deleted
├── TlsFilesError          the certificate or its key cannot be used
└── ConnectionCutError     a fault closes the connection without an answer
"""

import sys
from typing import Any

NOT_FOUND_OR_DELETED = "API_SEGMENT_NOT_FOUND_OR_DELETED"
ID_MISMATCH = "API_SEGMENT_ID_MISMATCH"
INVALID_ACTION = "API_SEGMENT_INVALID_ACTION"
EMPTY_IDENTITY = "API_SEGMENT_EMPTY_IDENTITY"
NO_SEGMENT_ID = "API_SEGMENT_NO_SEGMENT_ID"

ERROR_TYPES = (
    NOT_FOUND_OR_DELETED,
    ID_MISMATCH,
    INVALID_ACTION,
    EMPTY_IDENTITY,
    NO_SEGMENT_ID,
)
"""The Error Stream's types, for entries that an update skips."""


class EmulatorError(Exception):
    """Base class of the emulator's errors. ``hint`` says what to do, if there is more to say."""

    hint = ""

    def __init__(self, *args: object, hint: str = "") -> None:
        super().__init__(*args)
        self.hint = hint


class RequestError(EmulatorError):
    """A request is refused as a whole: HTTP status, the vendor's code and text."""

    def __init__(self, status: int, text: str, *, code: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = status if code is None else code

    def body(self) -> dict[str, Any]:
        """Return the error as a JSON document.

        The form is that of the vendor's older calls; the segment calls' is not published.
        The text has the case and the description of the vendor's table, if the table has
        the error, and then what is wrong with this request.
        """
        return {"status": "fail", "error": self.text, "code": self.code}


UNAUTHENTICATED = (
    "Authentication Failure: User authentication failed. "
    "Ensure all authentication values are entered and correct."
)
BAD_REQUEST = (
    "Incorrect Request Parameters: The request parameters are invalid. "
    "Verify the parameters and try again."
)
TOO_MANY_UPDATES = (
    "Maximum number of profile updates reached: "
    "A maximum of {limit} profile updates can be included in one request."
)
NO_PROFILES = (
    "No user profiles are provided: No user profiles were provided in the request. "
    "Add profiles and try again."
)
TOO_MANY_SEGMENTS = "Segment limit exceeded: More than {limit} segments were added in the request."
TOO_MANY_USERS = (
    "Profile limit exceeded: More than {limit} user IDs added for one or more segments."
)
SYSTEM_ERROR = "Unknown cause: The request could not be processed due to a system error. Try again."


def bad_request(problem: str) -> RequestError:
    """Return the vendor's 400 for a request with this problem."""
    return RequestError(400, f"{BAD_REQUEST} {_sentence(problem)}")


def unauthenticated(problem: str) -> RequestError:
    """Return the vendor's 401 for credentials with this problem."""
    return RequestError(401, f"{UNAUTHENTICATED} {_sentence(problem)}")


def _sentence(problem: str) -> str:
    """Return the problem with a full stop. Its first word may be the name of a field."""
    return problem if problem.endswith(".") else f"{problem}."


class InvalidFieldError(EmulatorError):
    """A field of a campaign's definition is invalid; the text says which and why."""


class InvalidSettingsError(EmulatorError):
    """Invalid settings or an invalid fault plan; ``problems`` has one line for each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class DataInUseError(EmulatorError):
    """The data folder is locked by another running emulator."""


class DataFormatError(EmulatorError):
    """The file in the data folder is damaged, or not one this version can read."""


class ExposedError(EmulatorError):
    """Other machines can reach the requested address, and that is not allowed."""


class TlsFilesError(EmulatorError):
    """The TLS certificate or its key cannot be used."""


class DataDeletedError(EmulatorError):
    """All data was deleted while somebody was reading it."""


class ConnectionCutError(EmulatorError, ConnectionResetError):
    """A fault closed the connection without an answer."""


def connection_cut() -> ConnectionCutError:
    """Return the error to raise where there is no socket to close.

    httpx translates only the errors of its own transports.  If httpx is loaded, the
    returned error is also an ``httpx.RemoteProtocolError``, so that an in-process
    client handles it as it handles a closed socket.
    """
    text = "the connection was cut by a fault"
    httpx: Any = sys.modules.get("httpx")
    if httpx is None:
        return ConnectionCutError(text)
    combined = type(
        "ConnectionCutError",
        (ConnectionCutError, httpx.RemoteProtocolError),
        {"__init__": httpx.RemoteProtocolError.__init__},
    )
    error: ConnectionCutError = combined(text)
    return error
