"""The guard: what is ours is for this machine's own user.

The vendor's paths ask for an account's passcode.  Ours do not, on loopback; a web
page in the same user's browser could therefore try to use them.  Two checks stop
it: the Host must be this machine's own name (a foreign name that resolves to
127.0.0.1 is refused), and a change must not come from another site's page.  Where
other machines can connect, ours ask for an account's passcode too.
"""

import base64
import binascii
import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segctl.emulator.calls import refusal, send_answer
from segctl.emulator.errors import RequestError
from segctl.emulator.service import Service

VENDOR_PREFIXES = ("/api/", "/1/")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    ),
]


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        ours = not scope["path"].startswith(VENDOR_PREFIXES)
        try:
            if self.service.loopback_only:
                check_host(headers.get("host", ""))
            if ours:
                check_origin(scope["method"], headers)
                if self.service.protected:
                    self.check_passcode(headers)
        except RequestError as error:
            extra = {"www-authenticate": 'Basic realm="emulator"'} if error.status == 401 else {}
            await send_answer(refusal(error, headers=extra), send)
            return
        if ours:
            send = _with_security_headers(send)
        await self.app(scope, receive, send)

    def check_passcode(self, headers: Headers) -> None:
        """Ask for an account by HTTP's Basic scheme or by the vendor's two headers."""
        name = headers.get("x-clevertap-account-id", "")
        passcode = headers.get("x-clevertap-passcode", "")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, passcode = base64.b64decode(given, validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                name = passcode = ""
        self.service.identify(name, passcode)


def check_host(host: str) -> None:
    """Refuse a name that is not this machine's own, nor one of the vendor's hosts."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower()
    if name == "localhost" or name.endswith((".localhost", ".clevertap.com")):
        return
    try:
        if ipaddress.ip_address(name).is_loopback:
            return
    except ValueError:
        pass
    raise RequestError(status=403, code=403, text="this host is not served here")


def check_origin(method: str, headers: Headers) -> None:
    """Refuse a change that a page of another site asks for."""
    if method in SAFE_METHODS:
        return
    origin = headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != headers.get("host")
    if foreign or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise RequestError(status=403, code=403, text="changes from other sites are refused")


def _with_security_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *SECURITY_HEADERS]}
        await send(message)

    return wrapped
