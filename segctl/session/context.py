"""What varies from run to run: the workspace, the environment, clock, disk and transport."""

import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.backends.base import Backend
from segctl.backends.byte_store import ByteStore
from segctl.core.clock import Clock
from segctl.core.credentials import ACCOUNT_VARIABLE, PASSCODE_VARIABLE, check_credential
from segctl.core.dataclass import dataclass
from segctl.core.disk import Disk
from segctl.core.errors import CredentialsRefused
from segctl.core.resources import ResourceLimits
from segctl.manifests.object_urls import ObjectUrl

if TYPE_CHECKING:
    from segctl.provider.client import Transport
    from segctl.session.open_state import OpenState


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a run gets from outside; a test passes its own.

    ``root`` is the workspace folder, ``environment`` the environment variables. ``chance``
    returns random numbers in [0, 1). ``disk`` writes everything durable. ``transport`` carries
    requests to the service; ``None`` is the network. ``limits`` bounds memory and temporary files.
    ``command`` is the command line as other runs see it in the lock. ``trusted_config`` is the
    file or the revision that has the trusted copy of ``segctl.yaml``, and ``env_name`` the chosen
    environment, empty for none. ``open_store`` opens the store of a state that is not local;
    ``None`` opens buckets. ``sleep`` waits for a lock.
    """

    root: Path
    environment: Mapping[str, str] = field(repr=False)
    clock: Clock
    chance: Callable[[], float]
    command: str = "segctl"
    disk: Disk = field(default_factory=Disk)
    transport: "Transport | None" = None
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    trusted_config: str | None = None
    env_name: str = ""
    open_store: Callable[[ObjectUrl], ByteStore] | None = None
    sleep: Callable[[float], None] = time.sleep

    def open_state(self) -> "OpenState":
        """Open the state, whichever it is; see ``open_state.open_state`` for the errors."""
        from segctl.session.open_state import open_state  # noqa: PLC0415 - `validate` needs none

        return open_state(self)

    def backend(self) -> Backend:
        """Return the backend of the state that the workspace had, if it had one.

        Raises ``WrongState`` for another one, and what ``open_state`` raises.
        """
        state = self.open_state()
        state.check()
        return state.backend

    @property
    def account(self) -> str | None:
        """The account from the environment, or ``None``.

        Raises ``CredentialsRefused`` for one that cannot be sent.
        """
        account = self.environment.get(ACCOUNT_VARIABLE) or None
        if account:
            check_credential(ACCOUNT_VARIABLE, account)
        return account

    def credentials(self) -> tuple[str, str]:
        """Return account id and passcode.

        Raises ``CredentialsRefused`` if one is not set, or cannot be sent.
        """
        account, passcode = self.account, self.environment.get(PASSCODE_VARIABLE)
        if not account or not passcode:
            names = (ACCOUNT_VARIABLE, PASSCODE_VARIABLE)
            missing = [name for name in names if not self.environment.get(name)]
            verb = "is" if len(missing) == 1 else "are"
            raise CredentialsRefused(
                f"{' and '.join(missing)} {verb} not set",
                hint="Set the credentials in the environment; nothing was sent.",
            )
        check_credential(PASSCODE_VARIABLE, passcode)
        return account, passcode
