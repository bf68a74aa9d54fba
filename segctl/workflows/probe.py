"""Probe: find the account, run the questions, write the report."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from segctl.core.dataclass import dataclass
from segctl.core.disk import translate_os_errors
from segctl.core.errors import OperationError
from segctl.core.loopback import is_plain_http
from segctl.core.whitespace import REMOVE_WHITESPACE, describe_surrounding_whitespace
from segctl.manifests.compile import BASE_URL_VARIABLE
from segctl.manifests.declarations import PROJECT_FILE
from segctl.session.context import Context
from segctl.workflows.validate import load_desired

if TYPE_CHECKING:
    from segctl.probing.report import ProbeReport, Write

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_SUFFIX_LENGTH = 6


@dataclass(frozen=True, kw_only=True)
class ProbeTarget:
    """The account to probe. ``suffix`` is in the name of everything the probe creates."""

    base_url: str
    allows_plain_http: bool = False
    account: str
    suffix: str

    @property
    def host(self) -> str:
        """The service's host."""
        return urlsplit(self.base_url).netloc.lower()

    @property
    def stem(self) -> str:
        """The name of everything the probe creates, followed by a number."""
        return f"segctl-probe-{self.suffix}"


def find_probe_target(context: Context, *, variables: Mapping[str, str]) -> ProbeTarget:
    """Return the account and the service from the environment, or else the workspace.

    Raises ``CredentialsRefused`` without credentials, ``InvalidInput`` without a service, and
    ``OperationError`` for a URL that cannot be used.
    """
    from segctl.provider.connection import parse_base_url  # noqa: PLC0415 - heavy

    account, _ = context.credentials()
    base_url = context.environment.get(BASE_URL_VARIABLE, "")
    if edges := describe_surrounding_whitespace(BASE_URL_VARIABLE, base_url):
        raise OperationError(edges, hint=REMOVE_WHITESPACE)
    allows_plain_http = False
    if not base_url or (is_plain_http(base_url) and (context.root / PROJECT_FILE).exists()):
        project = load_desired(context, variables).project
        base_url, allows_plain_http = project.base_url, project.allow_plain_http
    parse_base_url(base_url, allow_plain_http=allows_plain_http)  # before the user confirms
    letters = (_LETTERS[int(context.chance() * len(_LETTERS))] for _ in range(_SUFFIX_LENGTH))
    return ProbeTarget(
        base_url=base_url,
        allows_plain_http=allows_plain_http,
        account=account,
        suffix="".join(letters),
    )


def run_probe(
    context: Context,
    target: ProbeTarget,
    *,
    approve: "Callable[[Write], bool]",
    note: Callable[[str], object],
    patience: float,
) -> "ProbeReport":
    """Ask the service all open questions and clean up; see ``ProbePlan.run``.

    ``approve`` is called before each write, except when cleaning up. ``note`` receives progress
    messages. ``patience`` bounds the wait for an event, in seconds.
    """
    from segctl.probing.probe_plan import ProbePlan  # noqa: PLC0415 - heavy
    from segctl.probing.probe_run import ProbeRun  # noqa: PLC0415 - heavy
    from segctl.provider.raw import RawService  # noqa: PLC0415 - heavy

    service = RawService(
        base_url=target.base_url,
        allow_plain_http=target.allows_plain_http,
        account_id=target.account,
        passcode=context.environment.get("CLEVERTAP_PASSCODE", ""),
        clock=context.clock,
        transport=context.transport,
    )
    with service:
        probe = ProbeRun(service, stem=target.stem, clock=context.clock, approve=approve, note=note)
        return ProbePlan(probe, host=target.host, patience=patience).run()


def make_folder(context: Context, folder: Path) -> None:
    """Create the report's folder before anything is sent. Raises ``OperationError``."""
    with translate_os_errors(f"make the folder {folder}"):
        context.disk.make_folder(folder)


def keep_files(context: Context, folder: Path, files: Mapping[str, str]) -> None:
    """Write new files into a folder. Raises ``OperationError``."""
    for name, text in files.items():
        with translate_os_errors(f"write {folder / name}"):
            context.disk.write_new(folder / name, text.encode())
