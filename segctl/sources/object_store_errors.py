"""Why objects of a bucket could not be had, in words that give nothing away.

The texts of the library quote addresses, headers and answers.  What is said here is
made of the manifest's own address and the kind of fault.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from segctl.engine.base import SourceError
from segctl.manifests.object_urls import URL_FORMS, ObjectUrl, Scheme
from segctl.sources.globs import is_pattern

_CREDENTIALS: dict[Scheme, str] = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role gives them.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or run as a service account.",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or run as a managed "
    "identity.",
}
_ENDPOINT: dict[Scheme, str] = {
    "s3": "Check the network, AWS_REGION and, where it is set, AWS_ENDPOINT_URL.",
    "gs": "Check the network.",
    "az": "Check the network and AZURE_STORAGE_ACCOUNT_NAME.",
}
_SETTINGS: dict[Scheme, str] = {
    "s3": "Check the variables that begin with AWS_.",
    "gs": "Check the variables that begin with GOOGLE_.",
    "az": "Check the variables that begin with AZURE_.",
}
_WORDS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
)
"""Variables that hold one word; those of the other stores may hold JSON."""
_AGAIN = "Nothing of it was used. Run the same command again."
_NO_SUCH_BUCKET = ("nosuchbucket", "containernotfound", "the specified bucket does not exist")
_WRONG_REGION = ("permanentredirect", "authorizationheadermalformed", "301 moved", "bare redirect")

_UNANSWERED: tuple[tuple[tuple[str, ...], str, str, str, dict[Scheme, str]], ...] = (
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
        "the environment's settings for the store of {} cannot be used",
        "",
        _SETTINGS,
    ),
    (
        ("builder error",),
        "store-unreachable",
        "the address of the store of {} is no https:// URL",
        "Check AWS_ENDPOINT_URL; for one with http://, set AWS_ALLOW_HTTP=true.",
        {},
    ),
    (("",), "store-unreachable", "the store of {} cannot be reached", "", _ENDPOINT),
)
"""Marks in what is said where no store answered: code, summary and detail, or one a scheme."""


class NoObject(SourceError):
    """There is no object of this name."""


def no_library() -> SourceError:
    """Say that the extra is not installed."""
    return SourceError(
        "missing-library",
        "reading from buckets needs the library obstore, which is not installed",
        "Install it: pip install 'segctl[remote]'.",
    )


def no_address() -> SourceError:
    """Say that an address leads nowhere; it is not shown, since it may hold credentials."""
    return SourceError(
        "bad-path",
        "a file name with :// in it is no address of an object",
        f"Write {URL_FORMS}; credentials come from the environment.",
    )


def nothing_there(where: ObjectUrl) -> SourceError:
    """Say that an address, a folder or a pattern stands for no object."""
    advice = "Names that begin with a dot or an underscore are passed over."
    several = is_pattern(where.key) or where.key.endswith("/")
    return SourceError("missing-file", f"there is no object {where}", advice if several else "")


def changed(where: ObjectUrl) -> SourceError:
    """Say that an object was replaced between listing and download."""
    return SourceError(
        "object-changed",
        f"{where} was changed while it was read",
        "Run the same command again, once its writer is done.",
    )


def cut_short(where: ObjectUrl, *, came: int, size: int) -> SourceError:
    """Say that an object came in part."""
    return SourceError("connection-lost", f"{where} has {size:,} bytes, and {came:,} came", _AGAIN)


def too_slow(where: ObjectUrl, seconds: float) -> SourceError:
    """Say that a store took too long."""
    return SourceError(
        "store-timeout",
        f"{where} takes longer than {seconds:g} seconds",
        "Check the network, or read smaller parts.",
    )


def check_settings(where: ObjectUrl, environment: Mapping[str, str]) -> None:
    """Refuse what the library would panic at; values may be secrets, and are not shown."""
    for name in _WORDS if where.scheme == "s3" else ():
        value = environment.get(name)
        if value is not None and (value != value.strip() or not value.isprintable()):
            raise _bad_settings(where, f"{name} has white space at an end, or a line break in it.")
        if value is not None and "ENDPOINT" in name and not _is_url(value):
            advice = f"{name} is no address such as https://storage.example.com:9000."
            raise _bad_settings(where, advice)


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return bool(url.hostname and url.scheme and url.port != 0 and text.isascii())
    except ValueError:
        return False


def _bad_settings(where: ObjectUrl, advice: str) -> SourceError:
    summary = f"the environment's settings for the store of {where} cannot be used"
    return SourceError("store-settings", summary, advice)


@contextmanager
def explained(where: ObjectUrl, *, coming: bool = False) -> Iterator[None]:
    """Turn what obstore raises into ``SourceError``; ``coming`` is what has come in part."""
    from obstore.exceptions import (  # noqa: PLC0415 - loaded by the caller
        BaseError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    try:
        yield
    except FileNotFoundError as error:
        if _has(error, where, _NO_SUCH_BUCKET):
            raise _no_bucket(where) from None
        raise NoObject("missing-file", f"there is no object {where}") from None
    except PreconditionError:
        raise changed(where) from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise _denied(where) from None
    except (BaseError, ValueError) as error:
        if coming:
            summary = f"the download of {where} broke off"
            raise SourceError("connection-lost", summary, _AGAIN) from None
        raise _explained(error, where) from None
    except Exception as error:
        if type(error).__name__ == "RustPanic":  # of a module that cannot be imported
            raise _bad_settings(where, _SETTINGS[where.scheme]) from None
        raise


def _explained(error: Exception, where: ObjectUrl) -> SourceError:
    from obstore.exceptions import InvalidPathError  # noqa: PLC0415 - as above

    if isinstance(error, InvalidPathError):
        return _unreadable_name(error, where)
    if isinstance(error, ValueError):
        advice = "Its parts between slashes are neither empty nor . or .."
        return SourceError("bad-path", f"{where} is no name of an object", advice)
    if _has(error, where, _NO_SUCH_BUCKET):
        return _no_bucket(where)
    if status := re.search(r"status code: (\d+)", str(error)):
        return _answered(int(status[1]), error, where)
    return next(
        SourceError(code, summary.format(where), advice or by_scheme[where.scheme])
        for marks, code, summary, advice, by_scheme in _UNANSWERED
        if _has(error, where, marks)
    )


def _answered(status: int, error: Exception, where: ObjectUrl) -> SourceError:
    """Explain an answer for which the library has no error of its own."""
    if status in (401, 403):
        return _denied(where)
    if _has(error, where, _WRONG_REGION):
        summary = f"{where} lies in another region"
        return SourceError("wrong-region", summary, "Set AWS_REGION to that of the bucket.")
    passing = status in (408, 429) or status >= 500
    advice = "Run the same command again later." if passing else _SETTINGS[where.scheme]
    return SourceError("store-failed", f"the store answers HTTP {status} for {where}", advice)


def _denied(where: ObjectUrl) -> SourceError:
    return SourceError(
        "access-denied",
        f"the credentials may not read {where}",
        "They come from the environment, and must be let list the bucket and get its objects.",
    )


def _unreadable_name(error: Exception, where: ObjectUrl) -> SourceError:
    """Say that a listing holds a name that the library cannot take, and so ends there."""
    named = re.search(r'Path "(.*?)"', str(error))
    name = f" ({named[1]})" if named else ""
    return SourceError(
        "bad-path",
        f"{where} holds an object with a name that cannot be read{name}",
        "Names have no control characters in them, and no // or /../. "
        "Rename it, or read a folder without it.",
    )


def _no_bucket(where: ObjectUrl) -> SourceError:
    return SourceError(
        "missing-bucket",
        f"there is no bucket {where.scheme}://{where.bucket}",
        "Check its name, and that the endpoint and the account are those it is in.",
    )


def _has(error: Exception, where: ObjectUrl, marks: tuple[str, ...]) -> bool:
    """Look for marks in what the library says, less the names that it repeats."""
    own = rf"https?://\S*{re.escape(where.bucket)}\S*"
    text = re.sub(own, "", str(error).replace(where.key or where.bucket, "")).lower()
    return any(mark in text for mark in marks)
