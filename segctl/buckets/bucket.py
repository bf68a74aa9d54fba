"""Open a bucket through obstore, with time limits and settings from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from segctl.buckets import errors
from segctl.manifests.object_urls import ObjectUrl

if TYPE_CHECKING:
    from obstore.store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class StoreLimits:
    """Time limits in seconds for a store.

    ``total`` is for listing or downloading one source, ``stall`` for a period without
    data. ``retrying`` is for one request with all its retries, of which there are at most
    ``retries``.
    """

    total: float = 3600.0
    stall: float = 60.0
    retrying: float = 60.0
    retries: int = 5


def open_bucket(url: ObjectUrl, limits: StoreLimits, *, is_written: bool = False) -> "ObjectStore":
    """Open a bucket. Region, endpoint and credentials come from the environment.

    With ``is_written``, uploads to S3 have a checksum, which buckets with Object Lock require.
    Raises ``BucketError`` for settings that cannot work, ``ImportError`` without obstore.
    """
    from obstore import store  # noqa: PLC0415 - heavy, and an extra

    kinds: Mapping[str, Any] = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
    errors.check_settings(url, os.environ)
    checksum = {"checksum_algorithm": "SHA256"} if is_written and url.scheme == "s3" else {}
    with errors.explained(url):
        opened: ObjectStore = kinds[url.scheme](
            url.bucket,
            # Not as client_options: those would replace the ones from the environment.
            config={
                "connect_timeout": f"{min(10.0, limits.stall):g} seconds",
                "read_timeout": f"{limits.stall:g} seconds",
                "timeout": f"{limits.total:g} seconds",
                **checksum,
            },
            retry_config={
                "max_retries": limits.retries,
                "retry_timeout": timedelta(seconds=limits.retrying),
            },
        )
    return opened
