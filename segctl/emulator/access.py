"""Access control: who may use the emulator's own paths.

The vendor's paths require an account's passcode.  The emulator's own do not, on
loopback, so a web page in the user's browser could try to use them.  Two checks stop
that: the Host header must name this machine (a foreign name that resolves to 127.0.0.1
is refused), and a change must not come from another site's page.  If other machines
can connect, the emulator's own paths require an account's passcode too, and show the
data of that account only: every request is treated as if it had ``?account=`` with it.
"""

import base64
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segctl.emulator.calls.vendor_call import error_response
from segctl.emulator.errors import RequestError
from segctl.emulator.hosts import is_loopback
from segctl.emulator.request_log import VENDOR_PREFIXES
from segctl.emulator.service import Service

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEALTH_PATH = "/emulator/v1/health"
"""The path without a passcode: what starts containers asks it. It shows no data."""
SHARED_PATHS = frozenset({f"/emulator/v1/{name}" for name in ("settings", "faults", "reset")})
"""Paths whose changes concern all accounts."""
FAULT_PATHS = frozenset({"/faults", "/emulator/v1/faults"})
"""Paths that show the fault plan, which can name segments of every account."""
NEEDS_PASSCODE = (
    "log in with an account id as the user name and its passcode as the password, "
    "or send both in the vendor's two headers"
)
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    ),
]


class AccessControl:
    """Middleware that refuses requests the emulator must not serve."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_own_path = not scope["path"].startswith(VENDOR_PREFIXES)
        try:
            if self.service.loopback_only:
                check_host(headers.get("host", ""))
            if is_own_path:
                check_origin(scope["method"], headers)
                if self.service.requires_passcode and scope["path"] != HEALTH_PATH:
                    account = self.check_passcode(headers)
                    self.check_operator(account, scope)
                    scope = restrict_to(account, scope)
        except RequestError as error:
            challenge = {"www-authenticate": 'Basic realm="emulator"'}
            refusal = error_response(error, headers=challenge if error.status == 401 else None)
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, _with_security_headers(send) if is_own_path else send)

    def check_passcode(self, headers: Headers) -> str:
        """Return the account whose passcode is sent by HTTP Basic or in the vendor's headers.

        Raises RequestError 401.
        """
        name = headers.get("x-clevertap-account-id", "")
        passcode = headers.get("x-clevertap-passcode", "")
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                decoded = base64.b64decode(credentials, validate=True).decode()
            except ValueError:
                decoded = ""
            name, _, passcode = decoded.partition(":")
        try:
            return self.service.check_passcode(name, passcode).id
        except RequestError as error:
            raise RequestError(401, NEEDS_PASSCODE) from error

    def check_operator(self, account: str, scope: Scope) -> None:
        """Check that what concerns all accounts is used by the first one only.

        Raises RequestError 403.
        """
        path, is_change = scope["path"], scope["method"] not in SAFE_METHODS
        is_shared = path in FAULT_PATHS or (is_change and path in SHARED_PATHS)
        if is_shared and account != self.service.store.operator:
            raise RequestError(403, "only the account of the emulator's start may do this")


def restrict_to(account: str, scope: Scope) -> Scope:
    """Return the request with ``?account=`` set to this account.

    Raises RequestError 404 if the request names another account, known or not.
    """
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if any(name == "account" and value not in {"", account} for name, value in query):
        raise RequestError(404, "no such account")
    query = [*((name, value) for name, value in query if name != "account"), ("account", account)]
    return {**scope, "query_string": urlencode(query).encode("latin-1")}


def check_host(host: str) -> None:
    """Check that the name is this machine's or the vendor's; raises RequestError 403."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower()
    if name.endswith((".localhost", ".clevertap.com")) or is_loopback(name):
        return
    raise RequestError(403, "this host is not served here")


def check_origin(method: str, headers: Headers) -> None:
    """Check that a change does not come from another site's page; raises RequestError 403."""
    if method in SAFE_METHODS:
        return
    origin = headers.get("origin")
    is_foreign = origin is not None and origin.partition("://")[2] != headers.get("host")
    if is_foreign or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise RequestError(403, "changes from other sites are refused")


def _with_security_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *SECURITY_HEADERS]}
        await send(message)

    return send_with_headers
