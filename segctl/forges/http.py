"""HTTP to a forge: the token, retries, limits, redirects, pages, and what an answer means.

The token is sent only to the scheme, host and port of the API, and appears in no message.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import httpx

from segctl import __version__
from segctl.core.clock import Clock
from segctl.core.connections import describe_cause, find_proxy, host_and_port
from segctl.core.errors import CredentialsRefused, ForgeFailed, OperationError
from segctl.core.loopback import is_plain_http
from segctl.core.whitespace import REMOVE_WHITESPACE, describe_surrounding_whitespace

_LOG = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
FIRST_WAIT = 1.0
MAX_WAIT = 120.0
"""In seconds. A longer wait is reported as an error: a job costs money while it waits."""

_LONGEST_SHOWN = 10 * 365 * 86_400.0
"""In seconds. What a forge asks for beyond this is no time that a message can show."""

SECONDARY_WAIT = 60.0
"""In seconds. GitHub asks for this after a secondary limit without a time."""

PAGE_SIZE = 100
MAX_PAGES = 100
_MAX_REDIRECTS = 5
_MAX_QUOTED = 300
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_REDIRECTS = frozenset({301, 302, 307, 308})


@dataclass(frozen=True, kw_only=True)
class Access:
    """The address of a forge's API, and the token for it.

    ``forge`` is the name of the forge. ``url_variable`` and ``variable`` name the environment
    variables of the address and of the token. ``header`` is the header that has the token, after
    ``prefix``. ``permission`` says what the token needs.
    """

    forge: str
    base_url: str
    url_variable: str
    variable: str
    token: str = field(repr=False)
    header: str
    prefix: str = ""
    permission: str


class ForgeHttp:
    """Sends requests to the API of a forge. ``sleep`` waits; ``chance`` is in [0, 1)."""

    def __init__(
        self,
        access: Access,
        *,
        headers: Mapping[str, str],
        clock: Clock,
        sleep: Callable[[float], None],
        chance: Callable[[], float],
    ) -> None:
        self._access = access
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._base = _parse_base(access)
        _check_token(access)
        self._proxy = find_proxy(str(self._base))
        try:
            self._client = httpx.Client(
                headers={"User-Agent": f"segctl/{__version__}", **headers},
                timeout=_TIMEOUT,
                follow_redirects=False,  # a redirect could send the token to another host
                trust_env=False,  # the proxy is chosen already
                proxy=self._proxy.url if self._proxy else None,
                # Without TLS there is nothing to verify, and loading certificates takes time.
                verify=self._base.scheme == "https" and httpx.create_ssl_context(),
            )
        except (OSError, ImportError, ValueError) as error:
            # The message can quote a proxy's URL, and with it a password.
            variable = self._proxy.variable if self._proxy else "HTTPS_PROXY"
            raise OperationError(
                f"no connection to {access.forge} can be set up: {type(error).__name__}",
                hint=f"Check {variable}, NO_PROXY and SSL_CERT_FILE in the environment.",
            ) from None

    def call(self, method: str, path: str, *, json: Any = None) -> Any:
        """Send a request and return the value of the JSON answer, ``None`` if it has none.

        After an error the request is repeated. A POST is repeated only if it cannot have been done.
        """
        return self._call(method, self._url(path), json, repeats=method != "POST")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def query(self, text: str) -> Any:
        """Send a GraphQL query and return the answer. Its path is next to the one of REST."""
        path = self._base.path.rstrip("/").removesuffix("/v3") + "/graphql"
        url = self._base.copy_with(raw_path=path.encode())
        return self._call("POST", url, {"query": text}, repeats=True)

    def _url(self, path: str) -> httpx.URL:
        return self._base.copy_with(raw_path=(self._base.path.rstrip("/") + path).encode())

    def _call(self, method: str, url: httpx.URL, json: Any, *, repeats: bool) -> Any:
        response = self._send(method, url, json, repeats=repeats)
        if response.status_code == 204 or not response.content:
            return None
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise ForgeFailed(
                f"{self._access.forge} answered {method} {url.path} without JSON",
                hint=f"Check {self._access.url_variable}.",
                status=response.status_code,
            ) from None

    def list_all(self, path: str) -> Iterator[Any]:
        """Yield the items of all pages of a list."""
        joint = "&" if "?" in path else "?"
        for page in range(1, MAX_PAGES + 1):
            url = self._url(f"{path}{joint}per_page={PAGE_SIZE}&page={page}")
            response = self._send("GET", url, None, repeats=True)
            try:
                items = response.json()
            except (ValueError, RecursionError):
                items = None
            if not isinstance(items, list):
                raise ForgeFailed(
                    f"{self._access.forge} answered GET {path} without a list",
                    hint=f"Check {self._access.url_variable}.",
                )
            yield from items
            # The address of the next page is counted, not taken from the answer, which could name
            # another host.
            if 'rel="next"' not in response.headers.get("link", "") and len(items) < PAGE_SIZE:
                return
        raise ForgeFailed(
            f"{self._access.forge} has more than {MAX_PAGES * PAGE_SIZE:,} entries for {path}",
            hint="segctl reads no more. Close some of the issues, or open another pull request.",
        )

    def _send(self, method: str, url: httpx.URL, json: Any, *, repeats: bool) -> httpx.Response:
        """Send a request until it succeeds. Raises ``ForgeFailed`` if it does not."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            is_last = attempt == MAX_ATTEMPTS
            backoff = FIRST_WAIT * 2.0 ** (attempt - 1) * (0.5 + self._chance() / 2)
            try:
                response = self._follow(method, url, json)
            except httpx.HTTPError as error:
                is_sent = not isinstance(error, _NOT_SENT)
                if is_last or (is_sent and not repeats):
                    raise self._no_answer(error, uncertain=is_sent) from None
                self._sleep(backoff)
                continue
            if response.is_success:
                return response
            if (wait := self._limit_wait(response)) is not None:
                if is_last or wait > MAX_WAIT:
                    raise self._limited(response, wait)
                _LOG.warning("%s limits requests; waiting %d s", self._access.forge, round(wait))
                self._sleep(max(wait, backoff))
                continue
            if response.status_code >= 500 and repeats and not is_last:
                self._sleep(backoff)
                continue
            self._refuse(method, url, response)
        raise AssertionError

    def _follow(self, method: str, url: httpx.URL, json: Any) -> httpx.Response:
        """Send one request and follow redirects within the host, with the same method.

        GitHub redirects when a repository was renamed, and asks for the same method with every
        status: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
        """
        headers = {self._access.header: f"{self._access.prefix}{self._access.token}"}
        for _ in range(_MAX_REDIRECTS):
            response = self._client.request(method, url, json=json, headers=headers)
            if response.status_code not in _REDIRECTS:
                return response
            try:
                target = url.join(response.headers.get("location", ""))
                origin = _origin(target)
            except (httpx.InvalidURL, ValueError):  # ValueError: a host that is no name
                break
            if origin != _origin(self._base):
                raise ForgeFailed(
                    f"{self._access.forge} redirects to another host, {target.host or 'none'}, "
                    "which does not get the token",
                    hint=f"Check {self._access.url_variable}.",
                    status=response.status_code,
                )
            url = target
        raise ForgeFailed(
            f"{self._access.forge} redirects without an end",
            hint=f"Check {self._access.url_variable}.",
        )

    def _limit_wait(self, response: httpx.Response) -> float | None:
        """Return the seconds to wait after an answer that limits requests, ``None`` for any other.

        GitHub answers 403 or 429, GitLab 429. The time is in ``Retry-After``, or in a header with
        the second of the reset; a secondary limit of GitHub may have neither.
        """
        headers, status = response.headers, response.status_code
        text = _message(response).lower()
        used_up = headers.get("x-ratelimit-remaining") == "0"
        is_limit = status == 429 or (
            status == 403
            and (used_up or "retry-after" in headers or "rate limit" in text or "abuse" in text)
        )
        if not is_limit:
            return None
        now = self._clock.now()
        if (wait := _retry_after(headers.get("retry-after"), now)) is not None:
            return wait
        reset = headers.get("x-ratelimit-reset" if used_up else "ratelimit-reset", "")
        if re.fullmatch("[0-9]{1,12}", reset):
            return max(0.0, float(reset) - now)
        return SECONDARY_WAIT

    def _limited(self, response: httpx.Response, wait: float) -> ForgeFailed:
        until = datetime.fromtimestamp(self._clock.now() + min(wait, _LONGEST_SHOWN), UTC)
        return ForgeFailed(
            f"{self._access.forge} limits requests until {until:%H:%M:%S} UTC "
            f"({response.status_code}{self._quoted(response)})",
            hint="Run the job again after that.",
            status=response.status_code,
        )

    def _refuse(self, method: str, url: httpx.URL, response: httpx.Response) -> NoReturn:
        access, status = self._access, response.status_code
        answer = (
            f"{access.forge} answered {method} {url.path} with {status}{self._quoted(response)}"
        )
        text = _message(response).lower()
        if status == 401:
            raise CredentialsRefused(
                f"{access.forge} does not accept the token in {access.variable} "
                f"(401{self._quoted(response)})",
                hint="Set a token that is valid and has not expired.",
            )
        hints = {
            403: access.permission,
            404: f"{access.forge} also answers 404 if the token may not see the repository. "
            f"{access.permission}",
            410: "It was deleted, or comments are switched off.",
            422: "Set a smaller --max-bytes." if "too long" in text else "",
            400: "Set a smaller --max-bytes." if "too long" in text else "",
        }
        hint = hints.get(status, "")
        if status >= 500:
            hint = f"Run the job again when {access.forge} works."
        raise ForgeFailed(answer, hint=hint, status=status, uncertain=status >= 500)

    def _no_answer(self, error: httpx.HTTPError, *, uncertain: bool) -> ForgeFailed:
        is_connecting = isinstance(error, httpx.ConnectError)
        if self._proxy and is_connecting and self._proxy.is_unreachable(error):
            return ForgeFailed(
                f"could not connect to {self._proxy}: {_cause(error)}",
                hint=f"Check the proxy, or name {self._base.host} in NO_PROXY to connect directly.",
            )
        at = host_and_port(str(self._base)) if is_connecting else self._base.host
        return ForgeFailed(
            f"no answer from {self._access.forge} at {at}: {_cause(error)}",
            hint=f"Check {self._access.url_variable}, and the network of the job.",
            uncertain=uncertain,
        )

    def _quoted(self, response: httpx.Response) -> str:
        """Return the message of an answer, shortened; empty if it contains the token."""
        message = " ".join(_message(response).split())
        if not message or self._access.token in message:
            return ""
        return f": {message[:_MAX_QUOTED]}{'…' if len(message) > _MAX_QUOTED else ''}"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    port = url.port or {"https": 443, "http": 80}.get(url.scheme)
    return url.scheme, url.host.lower(), port


def _parse_base(access: Access) -> httpx.URL:
    if edges := describe_surrounding_whitespace(access.url_variable, access.base_url):
        raise OperationError(edges, hint=REMOVE_WHITESPACE)
    try:
        url = httpx.URL(access.base_url.rstrip("/"))
        is_usable = url.scheme in ("https", "http") and url.host
    except (httpx.InvalidURL, ValueError):  # ValueError: a host that is no name
        url, is_usable = httpx.URL(""), ""
    if not is_usable or url.userinfo or url.query or url.fragment:
        raise OperationError(
            f"{access.url_variable} is not the URL of an API",
            hint="It looks like https://api.github.com or https://gitlab.com/api/v4.",
        )
    if is_plain_http(str(url)):
        raise OperationError(
            f"{access.url_variable} begins with http://, which would show the token to the network",
            hint="Use https://.",
        )
    return url


def _check_token(access: Access) -> None:
    if not re.fullmatch("[!-~]+", access.token):
        raise CredentialsRefused(
            f"{access.variable} contains a space, a line break or a special character",
            hint="Set it again; a value read from a file often ends with a line break.",
        )


def _retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds of a ``Retry-After`` header: a number, or a date."""
    text = (header or "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now)


def _message(response: httpx.Response) -> str:
    """Return the error message of an answer.

    GitHub sends ``message`` and ``errors``; GitLab ``message``, which may be an object, or
    ``error`` and ``error_description``.
    """
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        is_text = response.headers.get("content-type", "").startswith("text/plain")
        return response.text[:_MAX_QUOTED] if is_text else ""
    if not isinstance(answer, dict):
        return ""
    found = [answer.get(name) for name in ("message", "error", "error_description")]
    errors = answer.get("errors")
    found += [
        error.get("message") if isinstance(error, dict) else error
        for error in (errors if isinstance(errors, list) else ())
    ]
    return "; ".join(part if isinstance(part, str) else repr(part) for part in found if part)


def _cause(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it took too long"
    return describe_cause(error) or type(error).__name__
