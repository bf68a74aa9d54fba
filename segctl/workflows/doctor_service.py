"""Checks of what a run would send with: credentials, base URL, proxies. Nothing is sent."""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

from segctl.core.connections import PROXY_VARIABLES, parse_proxy
from segctl.core.credentials import ACCOUNT_VARIABLE, PASSCODE_VARIABLE, Credentials
from segctl.core.errors import CredentialsRefused, OperationError
from segctl.core.health import Check, Status
from segctl.core.loopback import UNENCRYPTED, is_loopback
from segctl.core.whitespace import REMOVE_WHITESPACE, describe_surrounding_whitespace
from segctl.manifests.compile import BASE_URL_VARIABLE

_CREDENTIALS = (ACCOUNT_VARIABLE, PASSCODE_VARIABLE)
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_VENDOR = "clevertap.com"


def check_credentials(environment: Mapping[str, str]) -> Check:
    """Return the check that the credentials are set and can be sent. They are not shown."""
    topic = "credentials"
    account, passcode = (environment.get(name, "") for name in _CREDENTIALS)
    missing = [name for name in _CREDENTIALS if not environment.get(name)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return Check(
            topic=topic,
            status=Status.WARNING,
            summary=f"{' and '.join(missing)} {verb} not set",
            advice="Plans need none. Set both in the environment to apply.",
        )
    try:
        Credentials(account_id=account, passcode=passcode)
    except CredentialsRefused as error:
        return _problem(topic, error)
    return Check(topic=topic, summary="both are set; whether CleverTap accepts them is not asked")


def check_base_url(
    environment: Mapping[str, str], declared: str, *, allow_plain_http: bool = False
) -> Check:
    """Return the check of the URL of the service: that of the environment, or else ``declared``.

    ``declared`` is empty if the workspace is not known.
    """
    from segctl.provider.connection import parse_base_url  # noqa: PLC0415 - heavy

    topic, given = "service", environment.get(BASE_URL_VARIABLE, "")
    text = given.strip() or declared
    if not text:
        return Check(topic=topic, summary="neither a workspace nor CLEVERTAP_BASE_URL names one")
    if edges := describe_surrounding_whitespace(BASE_URL_VARIABLE, given):
        return Check(topic=topic, status=Status.PROBLEM, summary=edges, advice=REMOVE_WHITESPACE)
    try:
        url = parse_base_url(text, allow_plain_http=allow_plain_http)
    except OperationError as error:
        return _problem(topic, error)
    origin = f" ({BASE_URL_VARIABLE})" if given else ""
    return _judge_host(f"{url.scheme}://{url.netloc.decode()}{origin}", url.scheme, url.host)


def _judge_host(shown: str, scheme: str, host: str) -> Check:
    topic = "service"
    if is_loopback(host):
        return Check(topic=topic, summary=f"{shown}, this machine")
    if scheme != "https":
        return Check(
            topic=topic,
            status=Status.WARNING,
            summary=f"{shown} is allowed by spec.provider.allowPlainHttp: {UNENCRYPTED}",
            advice="Use https://, unless the network in between is trusted.",
        )
    if not f".{host}".endswith(f".{_VENDOR}"):
        return Check(
            topic=topic,
            status=Status.WARNING,
            summary=f"{shown} is not a host of {_VENDOR}, and would get the passcode",
            advice="If that is not meant, correct region or baseUrl in segctl.yaml, or the "
            "environment.",
        )
    return Check(topic=topic, summary=shown)


def check_network(environment: Mapping[str, str]) -> Iterator[Check]:
    """Yield the checks of proxies and certificates that the environment sets."""
    for name in PROXY_VARIABLES:
        for spelling in (name.lower(), name):
            if value := environment.get(spelling):
                yield _check_proxy(spelling, value)
                break
    for name in _CERTIFICATES:
        path = environment.get(name)
        if path and not os.access(path, os.R_OK):
            yield Check(
                topic="certificates",
                status=Status.PROBLEM,
                summary=f"{name} names {path}, which cannot be read",
                advice=f"Correct {name}, or unset it.",
            )
        elif path:
            yield Check(topic="certificates", summary=f"{name} is {path}")


def _check_proxy(name: str, value: str) -> Check:
    """Return the check of a proxy. User name and password are not shown."""
    try:
        url = urlsplit(parse_proxy(name, value).url)
        scheme, host, port = url.scheme, url.hostname, url.port
    except OperationError as error:
        return _problem("proxy", error)
    except ValueError:
        scheme, host, port = "", None, None
    if not host or value != value.strip() or scheme not in _PROXY_SCHEMES:
        return Check(
            topic="proxy",
            status=Status.PROBLEM,
            summary=f"{name} is not the URL of a proxy",
            advice=f"Write it as http://HOST:PORT, or unset {name}.",
        )
    if scheme.startswith("socks") and find_spec("socksio") is None:
        return Check(
            topic="proxy",
            status=Status.PROBLEM,
            summary=f"the SOCKS proxy in {name} needs the package socksio, which is not installed",
            advice="Install it with pip install 'httpx[socks]', or unset the proxy.",
        )
    shown = f"{host}:{port}" if port else host
    return Check(
        topic="proxy",
        summary=f"{name} is {shown}; requests to this machine and to hosts of NO_PROXY avoid it",
    )


def _problem(topic: str, error: OperationError) -> Check:
    return Check(topic=topic, status=Status.PROBLEM, summary=error.message, advice=error.hint)
