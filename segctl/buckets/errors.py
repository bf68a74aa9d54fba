"""Errors of objects in buckets.

Messages of the library can quote URLs, headers and responses, so they are matched and not
shown. Messages here contain only the URL from the manifest.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

from segctl.core.errors import OperationError
from segctl.manifests.object_urls import ObjectUrl, Scheme

_CREDENTIALS: dict[Scheme, str] = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with an IAM role.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or run as a service account.",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or run with a managed "
    "identity.",
}
_ENDPOINT: dict[Scheme, str] = {
    "s3": "Check the network, AWS_REGION and, if it is set, AWS_ENDPOINT_URL.",
    "gs": "Check the network.",
    "az": "Check the network and AZURE_STORAGE_ACCOUNT_NAME.",
}
_SETTINGS: dict[Scheme, str] = {
    "s3": "Check the variables that begin with AWS_.",
    "gs": "Check the variables that begin with GOOGLE_.",
    "az": "Check the variables that begin with AZURE_.",
}
_BAD_SETTINGS = "the environment's settings for {} are invalid"
_ONE_WORD = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
)
"""Variables without white space in their values. Those of other stores may hold JSON."""

_NO_SUCH_BUCKET = ("nosuchbucket", "containernotfound", "the specified bucket does not exist")
_WRONG_REGION = ("permanentredirect", "authorizationheadermalformed", "301 moved", "bare redirect")
_NO_LOCATION = "redirect without location"

_NO_RESPONSE: tuple[tuple[tuple[str, ...], str, str, str, dict[Scheme, str]], ...] = (
    (
        ("169.254.", "latest/api/token", "metadata", "token", "account", "credential"),
        "no-credentials",
        "there are no credentials for {}",
        "",
        _CREDENTIALS,
    ),
    (
        ("config error", "access key", "secretaccesskey", "accesskeyid", "source url"),
        "store-settings",
        _BAD_SETTINGS,
        "",
        _SETTINGS,
    ),
    (
        ("builder error",),
        "store-unreachable",
        "the endpoint for {} is not an https:// URL",
        "Check AWS_ENDPOINT_URL. To use http://, set AWS_ALLOW_HTTP=true.",
        {},
    ),
    (("",), "store-unreachable", "the store of {} cannot be reached", "", _ENDPOINT),
)
"""For messages without a response from a store: text in the message, code, summary, and
either one hint or one for each scheme. The first match counts."""


INCOMPLETE = "The incomplete data is not used. Run the same command again."

Action = Literal["read", "list", "write", "delete"]
"""What was asked of a bucket, for messages about permissions."""

_NEEDED: Mapping[Action, str] = {
    "read": "to list the bucket and to get its objects",
    "list": "to list the bucket",
    "write": "to put objects",
    "delete": "to delete objects",
}
_DOING: Mapping[Action, str] = {
    "read": "reading",
    "list": "listing",
    "write": "writing",
    "delete": "deleting",
}

_BUCKET_WIDE = frozenset(
    (
        "missing-bucket",
        "no-credentials",
        "store-settings",
        "store-unreachable",
        "wrong-region",
    )
)
"""The codes of errors that every object of a bucket has."""

_REFUSED_KEYS = ("invalidaccesskeyid", "signaturedoesnotmatch", "expiredtoken", "invalidtoken")


class BucketError(OperationError):
    """A bucket refused a request or did not answer. ``code`` names the kind of problem.

    ``is_bucket_wide`` says that no object of the bucket can be read.
    """

    def __init__(
        self, code: str, message: str, hint: str = "", *, is_bucket_wide: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.is_bucket_wide = is_bucket_wide or code in _BUCKET_WIDE


class NoObject(BucketError):
    """There is no object with this name."""


class ObjectChanged(BucketError):
    """The condition of a request does not hold: an object was written meanwhile, or is there."""


def _no_such_object(url: ObjectUrl) -> NoObject:
    return NoObject("missing-file", f"there is no object {url}", "Check the URL.")


def object_changed(url: ObjectUrl) -> ObjectChanged:
    """Return the error for an object that was replaced between listing and download."""
    return ObjectChanged(
        "object-changed",
        f"{url} was changed while it was read",
        "Run the same command again when nothing writes to it.",
    )


def check_settings(url: ObjectUrl, environment: Mapping[str, str]) -> None:
    """Raise ``BucketError`` for a variable that would make the library panic.

    Its value may be a secret and is not shown.
    """
    for name in _ONE_WORD if url.scheme == "s3" else ():
        value = environment.get(name)
        if value is not None and (value != value.strip() or not value.isprintable()):
            hint = f"Remove white space and line breaks from the value of {name}."
            raise _bad_settings(url, hint)
        if value is not None and "ENDPOINT" in name and not _is_url(value):
            hint = f"Set {name} to a URL such as https://storage.example.com:9000."
            raise _bad_settings(url, hint)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname and parts.scheme and parts.port != 0 and text.isascii())
    except ValueError:
        return False


def _bad_settings(url: ObjectUrl, hint: str) -> BucketError:
    return BucketError("store-settings", _BAD_SETTINGS.format(url), hint)


@contextmanager
def explained(
    url: ObjectUrl, *, action: Action = "read", downloading: bool = False
) -> Iterator[None]:
    """Turn errors of obstore into ``BucketError``. ``downloading`` after the first bytes."""
    from obstore.exceptions import (  # noqa: PLC0415 - loaded by the caller
        AlreadyExistsError,
        BaseError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    try:
        yield
    except FileNotFoundError as error:
        if _mentions(error, url, _NO_SUCH_BUCKET):
            raise _no_bucket(url) from None
        raise _no_such_object(url) from None
    except (PreconditionError, AlreadyExistsError):
        raise object_changed(url) from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _denied(error, url, action) from None
    except (BaseError, ValueError) as error:
        if downloading:
            summary = f"the download of {url} was interrupted"
            raise BucketError("connection-lost", summary, INCOMPLETE) from None
        raise _explain(error, url, action) from None
    except Exception as error:
        if type(error).__name__ == "RustPanic":  # of a module that cannot be imported
            raise _bad_settings(url, _SETTINGS[url.scheme]) from None
        raise


def _explain(error: Exception, url: ObjectUrl, action: Action) -> BucketError:
    from obstore.exceptions import InvalidPathError  # noqa: PLC0415 - as above

    if isinstance(error, InvalidPathError):
        return _unreadable_name(error, url)
    if isinstance(error, ValueError):
        hint = "Its parts between slashes cannot be empty, . or .."
        return BucketError("bad-path", f"{url} is not a valid object name", hint)
    if _mentions(error, url, _NO_SUCH_BUCKET):
        return _no_bucket(url)
    if _mentions(error, url, (_NO_LOCATION,)):
        return _wrong_region(url)
    if status := re.search(r"status code: (\d+)", str(error)):
        return _explain_status(int(status[1]), error, url, action)
    return next(
        BucketError(
            code, summary.format(url), f"{hint or by_scheme[url.scheme]}{_advise_on_proxy(marks)}"
        )
        for marks, code, summary, hint, by_scheme in _NO_RESPONSE
        if _mentions(error, url, marks)
    )


def _advise_on_proxy(marks: Sequence[str]) -> str:
    """Return a sentence about the proxy, if no store was reached and one is set; else empty."""
    from segctl.core.connections import PROXY_VARIABLES  # noqa: PLC0415 - slow: it imports ssl

    names = (n for name in PROXY_VARIABLES for n in (name.lower(), name))
    name = next((name for name in names if os.environ.get(name)), None)
    if any(marks) or name is None:  # with marks, the cause is known
        return ""
    return f" {name} is set: check that proxy and NO_PROXY, too."


def _explain_status(status: int, error: Exception, url: ObjectUrl, action: Action) -> BucketError:
    """Return the error for a response for which the library has no error class."""
    if status in (401, 403):
        return _denied(error, url, action)
    if _mentions(error, url, _WRONG_REGION):
        return _wrong_region(url)
    if _mentions(error, url, ("object lock",)):
        return BucketError(
            "object-lock",
            f"the bucket of {url} has Object Lock and did not accept the upload",
            "Use a bucket without a default retention.",
        )
    may_pass = status in (408, 429) or status >= 500
    hint = "Run the same command again later." if may_pass else _SETTINGS[url.scheme]
    summary = f"the store responded with HTTP {status} for {url}"
    return BucketError("store-failed", summary, hint, is_bucket_wide=may_pass)


def _wrong_region(url: ObjectUrl) -> BucketError:
    return BucketError(
        "wrong-region",
        f"the bucket of {url} is in another region",
        "Set AWS_REGION to the bucket's region.",
    )


def _denied(error: Exception, url: ObjectUrl, action: Action) -> BucketError:
    return BucketError(
        "access-denied",
        f"the credentials do not allow {_DOING[action]} {url}",
        f"Allow the credentials in the environment {_NEEDED[action]}.",
        is_bucket_wide=_mentions(error, url, _REFUSED_KEYS),
    )


def _unreadable_name(error: Exception, url: ObjectUrl) -> BucketError:
    """Return the error for an object name that the library refuses, which ends a listing."""
    quoted = re.search(r'Path "(.*?)"', str(error))
    name = f" ({quoted[1]})" if quoted else ""
    return BucketError(
        "bad-path",
        f"{url} contains an object whose name cannot be read{name}",
        "Names cannot have control characters, // or /../ in them. "
        "Rename the object, or read a folder without it.",
    )


def _no_bucket(url: ObjectUrl) -> BucketError:
    return BucketError(
        "missing-bucket",
        f"there is no bucket {url.scheme}://{url.bucket}",
        "Check the name, the endpoint and the account.",
    )


def _mentions(error: Exception, url: ObjectUrl, marks: tuple[str, ...]) -> bool:
    """Whether the library's message has one of the marks outside the names it repeats."""
    own = rf"https?://\S*{re.escape(url.bucket)}\S*"
    text = re.sub(own, "", str(error).replace(url.key or url.bucket, "")).lower()
    return any(mark in text for mark in marks)
