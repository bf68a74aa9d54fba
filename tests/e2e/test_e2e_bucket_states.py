"""A state in a bucket that refuses, fails or is slow: nothing is lost, nothing is sent twice."""

import os
from collections.abc import Iterator

import pytest

from segctl.backends import bucket_store
from segctl.buckets.bucket import StoreLimits
from segctl.core.errors import OperationError, SegctlError
from tests.backends.faulty_proxy import FaultyProxy, no_fault, running_proxy
from tests.backends.store_servers import BUCKET, moto
from tests.clocks import PatientClock
from tests.e2e.workshop import Workshop, identities, many, segment

IS_TORTURE = os.environ.get("HYPOTHESIS_PROFILE") == "torture"
POINTS = range(1, 40) if IS_TORTURE else (12,)
"""The requests to the store from which an apply is refused."""

SECRETS = ("AKIATESTS", "s3cret")


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with moto() as environment:
        yield dict(environment)


@pytest.fixture
def proxy(
    environment: dict[str, str], shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyProxy]:
    """The bucket that the shop's state is in, behind a proxy. Retries are quick and few."""
    monkeypatch.setattr(
        bucket_store,
        "STATE_LIMITS",
        StoreLimits(total=20.0, stall=5.0, retrying=0.3, retries=1),
    )
    with running_proxy(environment["AWS_ENDPOINT_URL"]) as proxy:
        for name, value in {**environment, "AWS_ENDPOINT_URL": proxy.url}.items():
            monkeypatch.setenv(name, value)
        shop.environment["SEGCTL_CACHE_DIR"] = str(shop.scratch / "cache")
        shop.project(
            "{provider: {settleSeconds: 0}, guards: {maxRemovePercent: 100}, "
            f"state: {{backend: objectStore, url: 's3://{BUCKET}/{shop.root.parent.name}', "
            "leaseSeconds: 3600}}"
        )
        shop.clock = PatientClock()
        # A run that waits for the lease of a dead one looks at it less often than a real one.
        shop.sleep = lambda seconds: shop.clock.wait(60 * seconds)
        yield proxy


def is_listing(method: str, path: str) -> bool:
    return method == "GET" and "list-type=2" in path


def is_delete(method: str, path: str) -> bool:
    return method == "DELETE" or (method == "POST" and "delete" in path)


ACTIONS = {
    "reading": lambda method, path: method == "GET" and not is_listing(method, path),
    "listing": is_listing,
    "writing": lambda method, _: method == "PUT",
    "deleting": is_delete,
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_permission_that_is_missing_is_named_before_anything_is_sent(
    shop: Workshop, proxy: FaultyProxy, action: str
) -> None:
    shop.declare(segment("gold", *many(150)))
    matches = ACTIONS[action]
    proxy.fault = lambda method, path, _: (403, "AccessDenied") if matches(method, path) else None
    with pytest.raises(OperationError, match=f"do not allow {action} s3://") as caught:
        shop.apply()
    assert "Allow the credentials in the environment" in caught.value.hint
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert shop.service.requests == {}
    proxy.fault = no_fault
    shop.apply()
    shop.settled()


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "NoSuchBucket", "there is no bucket"),
        (301, "PermanentRedirect", "is in another region"),
        (503, "SlowDown", "responded with HTTP 503"),
        (403, "ExpiredToken", "do not allow"),
    ],
)
def test_a_store_that_refuses_everything_sends_nothing(
    shop: Workshop, proxy: FaultyProxy, status: int, code: str, message: str
) -> None:
    shop.declare(segment("gold", *many(3)))
    proxy.fault = lambda *_: (status, code)
    for run in (shop.plan, shop.apply):
        with pytest.raises(OperationError, match=message):
            run()
    assert shop.service.requests == {}


@pytest.mark.parametrize("lost", ["refused", "carried out, and the answer is an error"])
@pytest.mark.parametrize("point", POINTS)
def test_a_token_that_expires_in_the_middle_of_an_apply_loses_nothing(
    shop: Workshop, proxy: FaultyProxy, point: int, lost: str
) -> None:
    shop.declare(segment("gold", *many(1500)))
    start = len(proxy.requests)

    def expired(method: str, path: str, number: int) -> tuple[int, str] | None:
        del method, path
        return (403, "ExpiredToken") if number >= start + point else None

    if lost == "refused":
        proxy.fault = expired
    else:
        proxy.after = expired
    try:
        shop.apply()
    except SegctlError as error:
        assert not any(secret in str(error) for secret in SECRETS)  # noqa: PT017 - some succeed
    proxy.fault = proxy.after = no_fault
    shop.died()
    # The holder could not release its lock; the clock of the next run jumps over the lease.
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {"gold": identities(*many(1500))}


def test_errors_of_the_server_now_and_then_are_not_noticed(
    shop: Workshop, proxy: FaultyProxy
) -> None:
    shop.declare(segment("gold", *many(3000)))
    proxy.fault = lambda *request: (503, "SlowDown") if request[2] % 4 == 0 else None
    shop.apply()
    proxy.fault = no_fault
    shop.settled()


def test_a_write_that_is_carried_out_and_answered_with_an_error_is_recognized(
    shop: Workshop, proxy: FaultyProxy
) -> None:
    shop.declare(segment("gold", *many(3000)))
    proxy.after = lambda method, _, number: (
        (500, "InternalError") if method == "PUT" and number % 2 == 0 else None
    )
    shop.apply()
    proxy.after = no_fault
    shop.settled()
    assert shop.service.everyone() == {"gold": identities(*many(3000))}
