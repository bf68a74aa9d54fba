"""A store that refuses, stalls or misbehaves causes an error, never a partial list."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from segctl.buckets.bucket import StoreLimits
from segctl.engine.model import SourceError
from segctl.sources.object_store import ObjectFetcher
from tests.sources.stub_store import CONTENT, NAME, Handler, Stub, stubbed


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    with stubbed() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def download(folder: Path, **limits: float) -> str:
    """Return the content of the object, or the message of the error."""
    short_limits = {"total": 10.0, "stall": 5.0, "retrying": 0.5, **limits}
    objects = ObjectFetcher(folder, limits=StoreLimits(**short_limits, retries=1))
    try:
        [file] = [objects.locate(name) for name in objects.find(NAME)]
        objects.download([file])
    except SourceError as error:
        assert [path for path in folder.rglob("*.csv") if path.is_file()] == []
        return f"{error.code}: {error.summary}. {error.detail}"
    return file.read_text()


LOST = "The incomplete data is not used. Run the same command again."


def test_an_object_is_read(stub: Stub, tmp_path: Path) -> None:
    assert download(tmp_path) == CONTENT.decode()
    del stub


@pytest.mark.parametrize("method", ["head", "get"])
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_not_quoted(
    stub: Stub, tmp_path: Path, method: str, status: int
) -> None:
    setattr(stub, method, lambda handler: handler.refuse(status, "AccessDenied"))
    assert download(tmp_path) == (
        f"access-denied: the credentials do not allow reading {NAME}. "
        "Allow the credentials in the environment to list the bucket and to get its objects."
    )


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_may_not_list_are_an_error(
    stub: Stub, tmp_path: Path, status: int
) -> None:
    stub.get = lambda handler: handler.refuse(status, "AccessDenied")
    with pytest.raises(SourceError) as caught:
        ObjectFetcher(tmp_path).find("s3://segctl-members/m/*.csv")
    assert (caught.value.code, caught.value.summary) == (
        "access-denied",
        "the credentials do not allow reading s3://segctl-members/m/*.csv",
    )


def test_a_bucket_in_another_region_is_not_reported_as_missing(stub: Stub, tmp_path: Path) -> None:
    stub.get = lambda handler: handler.refuse(400, "AuthorizationHeaderMalformed")
    assert download(tmp_path) == (
        f"wrong-region: the bucket of {NAME} is in another region. "
        "Set AWS_REGION to the bucket's region."
    )


def test_an_error_of_the_store_shows_its_status(stub: Stub, tmp_path: Path) -> None:
    stub.get = lambda handler: handler.refuse(503, "SlowDown")
    assert download(tmp_path) == (
        f"store-failed: the store responded with HTTP 503 for {NAME}. "
        "Run the same command again later."
    )


def test_an_interrupted_download_is_an_error(stub: Stub, tmp_path: Path) -> None:
    stub.get = lambda handler: handler.answer(200, CONTENT[:5000])
    assert download(tmp_path) == f"connection-lost: the download of {NAME} was interrupted. {LOST}"


def test_an_object_that_became_shorter_is_an_error(stub: Stub, tmp_path: Path) -> None:
    stub.get = lambda handler: handler.answer(200, CONTENT[:5000], size=5000)
    assert download(tmp_path) == (
        f"object-changed: {NAME} was changed while it was read. "
        "Run the same command again when nothing writes to it."
    )


def test_a_store_that_ignores_if_match_is_an_error_if_the_object_changed(
    stub: Stub, tmp_path: Path
) -> None:
    stub.get = lambda handler: handler.answer(200, CONTENT, tag='"two"')
    assert download(tmp_path).startswith(f"object-changed: {NAME} was changed")


def test_a_stalled_download_is_an_error(stub: Stub, tmp_path: Path) -> None:
    def stall(handler: Handler) -> None:
        handler.answer(200, CONTENT[:5000])
        handler.wfile.flush()
        stub.over.wait()

    stub.get = stall
    assert download(tmp_path, stall=0.3) == (
        f"connection-lost: the download of {NAME} was interrupted. {LOST}"
    )


def test_a_download_has_a_total_time_limit(stub: Stub, tmp_path: Path) -> None:
    def trickle(handler: Handler) -> None:
        handler.answer(200, b"")
        for byte in CONTENT:
            if stub.over.wait(0.05):
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()

    stub.get = trickle
    assert download(tmp_path, total=0.5) == (
        f"store-timeout: reading {NAME} took longer than 0.5 seconds. "
        "Check the network, or split the data into several sources."
    )
