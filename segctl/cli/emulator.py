"""``segctl emulator``: run a local CleverTap API Segments service."""

import errno
import os
from collections.abc import Mapping

import click

from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.core.errors import OperationError, WrongUsage
from segctl.core.loopback import is_plain_http
from segctl.render.style import escaped


@click.command("emulator", epilog="Example: segctl emulator --port 8787 --data .emulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0: any free."
)
@click.option("--data", metavar="DIR", help="Keep the data here.  [default: in memory]")
@click.option(
    "--latency-ms", type=click.IntRange(min=0), default=0, help="Delay every answer by this time."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for all random choices.")
@click.option("--faults", metavar="FILE", help="Inject the faults that this JSON file lists.")
@click.option("--settings", metavar="FILE", help="Apply the settings in this JSON file.")
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow --host to be an address that other machines can reach.",
)
@click.option("--tls-cert", metavar="FILE", help="Serve https:// with this certificate, in PEM.")
@click.option("--tls-key", metavar="FILE", help="The private key of --tls-cert, in PEM.")
@click.option(
    "--url-file", metavar="FILE", help="Keep the address here while the emulator can be reached."
)
@common
def command(
    screen: Screen,
    *,
    host: str,
    port: int,
    data: str | None,
    latency_ms: int,
    seed: int,
    faults: str | None,
    settings: str | None,
    allow_remote: bool,
    tls_cert: str | None,
    tls_key: str | None,
    url_file: str | None,
) -> None:
    """Run a local CleverTap API Segments service.

    Prints its address and the environment that makes segctl use it. Ctrl-C ends it.
    It serves the account in CLEVERTAP_ACCOUNT_ID and CLEVERTAP_PASSCODE if they are
    set, otherwise the account EMULATOR with the passcode emulator. --allow-remote
    requires them to be set, since the default passcode is public.
    """
    if bool(tls_cert) != bool(tls_key):
        raise WrongUsage(
            "--tls-cert and --tls-key belong together", hint="Give both, or neither for http://."
        )
    try:
        from segctl.emulator import server  # noqa: PLC0415 - its libraries are an extra
        from segctl.emulator.errors import EmulatorError  # noqa: PLC0415 - as above
        from segctl.emulator.tls import TlsFiles  # noqa: PLC0415 - as above
    except ModuleNotFoundError as missing:
        from segctl.emulator.extra import INSTALL, missing_library  # noqa: PLC0415 - as above

        library = missing_library(missing)
        if library is None:
            raise
        raise OperationError(
            f"the emulator needs {library}, which is not installed",
            hint=f"Install it with: {INSTALL}",
        ) from missing

    accounts = _accounts()
    try:
        server.serve(
            host=host,
            port=port,
            data=screen.path(data) if data else None,
            latency_ms=latency_ms,
            seed=seed,
            accounts=accounts,
            ready=lambda url: screen.out(_welcome(url, accounts)),
            faults=screen.path(faults) if faults else None,
            settings=screen.path(settings) if settings else None,
            allow_remote=allow_remote,
            tls=TlsFiles(certificate=screen.path(tls_cert), key=screen.path(tls_key))
            if tls_cert and tls_key
            else None,
            url_file=screen.path(url_file) if url_file else None,
        )
    except EmulatorError as error:
        raise OperationError(f"the emulator cannot start: {error}", hint=error.hint) from error
    except OSError as error:
        raise _unavailable(error, port) from error


def _unavailable(error: OSError, port: int) -> OperationError:
    if error.errno == errno.EADDRINUSE:
        hint = "Stop the program that uses it, or choose another port with --port."
        return OperationError(f"port {port} is taken", hint=hint)
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return OperationError(f"the emulator cannot start: {what}")


def _accounts() -> dict[str, str] | None:
    """Return the account in the environment, or ``None`` for the emulator's default account."""
    account = os.environ.get("CLEVERTAP_ACCOUNT_ID")
    passcode = os.environ.get("CLEVERTAP_PASSCODE")
    if bool(account) != bool(passcode):
        there, absent = "CLEVERTAP_ACCOUNT_ID", "CLEVERTAP_PASSCODE"
        if passcode:
            there, absent = absent, there
        raise OperationError(
            f"{there} is set and {absent} is not",
            hint="Set both to serve that account, or neither for the default account.",
        )
    return {account: passcode} if account and passcode else None


def _welcome(url: str, accounts: Mapping[str, str] | None) -> str:
    if accounts:
        (account,) = accounts
        serves = f"It serves the account {escaped(account)} from CLEVERTAP_ACCOUNT_ID.\n"
        credentials = "  # CLEVERTAP_ACCOUNT_ID and CLEVERTAP_PASSCODE as they are set here\n"
    else:
        serves = "It serves the account EMULATOR.\n"
        credentials = "  export CLEVERTAP_ACCOUNT_ID=EMULATOR CLEVERTAP_PASSCODE=emulator\n"
    here = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    others = ""
    if here != url:
        others = "From another machine, write the name of this one in the URL.\n"
    if url.startswith("https:"):
        others += (
            "If no public authority issued the certificate, also set SSL_CERT_FILE to its file.\n"
        )
    elif here != url or is_plain_http(url):
        others += "From another machine, segctl also needs spec.provider.allowPlainHttp: true.\n"
    return (
        f"The emulator listens on {escaped(url)}. Ctrl-C ends it.\n{serves}"
        "Let segctl use it, in another terminal, with:\n\n"
        f"{credentials}"
        f"  export CLEVERTAP_BASE_URL={escaped(here)}\n\n"
        f"or, permanently, with spec.provider.baseUrl in segctl.yaml.\n{others}"
    )
