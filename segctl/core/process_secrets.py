"""Take credentials out of what other processes can see of this one.

On Linux, ``/proc/PID/environ`` shows the environment that a process was started with, with the
variables that it removed later. A program that segctl runs could read it there.
"""

import sys

CREDENTIAL_PREFIX = "CLEVERTAP_"
"""Prefix of the environment variables with the account's credentials."""

_PR_SET_DUMPABLE = 4


def hide_variables(prefix: str) -> None:
    """Overwrite the values of variables with this prefix in the memory of this process.

    ``os.environ`` keeps its copy. On Linux, other processes of the same user, except root's,
    can then not read the memory of this process either.
    """
    import ctypes  # noqa: PLC0415 - only a run with other programs needs it

    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        environment = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
    except ValueError:  # not every system has this name
        return
    index = 0
    while address := environment[index]:
        name, _, value = ctypes.string_at(address).partition(b"=")
        if name.startswith(prefix.encode()):
            ctypes.memset(address + len(name) + 1, 0, len(value))
        index += 1
