"""What can go wrong, drawn once.

EmulatorError
├── RequestError           the caller's request is refused, in the vendor's form
├── InvalidSettingsError   a settings or faults document that cannot be taken
├── DataInUseError         another process has the data folder
├── DataFormatError        the data folder holds something else
├── ExposedError           asked to listen beyond loopback without leave
└── ConnectionCutError     a fault: the connection ends here, without an answer
"""

import sys
from typing import Any


class EmulatorError(Exception):
    """Base of everything the emulator raises on purpose."""


class RequestError(EmulatorError):
    """A whole request is refused: HTTP status, the vendor's code, its text."""

    def __init__(self, *, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text


class InvalidSettingsError(EmulatorError):
    """Settings or faults that cannot be taken; ``problems`` names each one."""

    def __init__(self, *, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class DataInUseError(EmulatorError):
    """The data folder belongs to another emulator that is running."""


class DataFormatError(EmulatorError):
    """The data folder's file is not ours, damaged, or of another version."""


class ExposedError(EmulatorError):
    """The address asked for can be reached from other machines."""


class ConnectionCutError(EmulatorError, ConnectionResetError):
    """The emulator ended the connection without an answer, as its faults say."""


def connection_cut() -> ConnectionCutError:
    """Return the error that stands for a cut connection where there is no socket.

    A caller of the in-process application that uses httpx would get our error as
    it is, since httpx translates only its own transport's errors.  So where httpx
    is loaded, the error is one of httpx's too, and the caller's handling of cut
    connections is what runs.
    """
    text = "the connection was cut by a fault"
    httpx: Any = sys.modules.get("httpx")
    if httpx is None:
        return ConnectionCutError(text)
    mixed = type(
        "ConnectionCutError",
        (ConnectionCutError, httpx.RemoteProtocolError),
        {"__init__": httpx.RemoteProtocolError.__init__},
    )
    error: ConnectionCutError = mixed(text)
    return error
