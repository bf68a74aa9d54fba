"""A store that refuses, stalls, breaks off or lies: clear words, and never a short list."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from segctl.engine.base import SourceError
from segctl.sources.object_store import ObjectFetcher, StoreLimits
from tests.sources.stub_store import CONTENT, NAME, Handler, Stub, stubbed


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    with stubbed() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def brought(folder: Path, **limits: float) -> str:
    """Give what the object holds, or the words in which it is refused."""
    swift = {"total": 10.0, "stall": 5.0, "retrying": 0.5, **limits}
    objects = ObjectFetcher(folder, limits=StoreLimits(**swift, retries=1))
    try:
        [file] = [objects.locate(name) for name in objects.find(NAME)]
        objects.download([file])
    except SourceError as error:
        assert [path for path in folder.rglob("*.csv") if path.is_file()] == []
        return f"{error.code}: {error.summary}. {error.detail}"
    return file.read_text()


LOST = "The incomplete data is not used. Run the same command again."


def test_a_store_that_answers_is_read(stub: Stub, tmp_path: Path) -> None:
    assert brought(tmp_path) == CONTENT.decode()
    del stub


@pytest.mark.parametrize("method", ["head", "get"])
@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_are_refused_are_not_named(
    stub: Stub, tmp_path: Path, method: str, status: int
) -> None:
    setattr(stub, method, lambda handler: handler.refuse(status, "AccessDenied"))
    assert brought(tmp_path) == (
        f"access-denied: the credentials do not allow reading {NAME}. "
        "Allow the credentials in the environment to list the bucket and to get its objects."
    )


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_may_not_list_are_told_so(stub: Stub, tmp_path: Path, status: int) -> None:
    stub.get = lambda handler: handler.refuse(status, "AccessDenied")
    with pytest.raises(SourceError) as caught:
        ObjectFetcher(tmp_path).find("s3://segctl-members/m/*.csv")
    assert (caught.value.code, caught.value.summary) == (
        "access-denied",
        "the credentials do not allow reading s3://segctl-members/m/*.csv",
    )


def test_a_bucket_of_another_region_is_told_from_one_that_is_not_there(
    stub: Stub, tmp_path: Path
) -> None:
    stub.get = lambda handler: handler.refuse(400, "AuthorizationHeaderMalformed")
    assert brought(tmp_path) == (
        f"wrong-region: the bucket of {NAME} is in another region. "
        "Set AWS_REGION to the bucket's region."
    )


def test_an_error_of_the_store_is_told_by_its_status(stub: Stub, tmp_path: Path) -> None:
    stub.get = lambda handler: handler.refuse(503, "SlowDown")
    assert brought(tmp_path) == (
        f"store-failed: the store responded with HTTP 503 for {NAME}. "
        "Run the same command again later."
    )


def test_a_download_that_breaks_off_is_no_short_list(stub: Stub, tmp_path: Path) -> None:
    stub.get = lambda handler: handler.answer(200, CONTENT[:5000])
    assert brought(tmp_path) == f"connection-lost: the download of {NAME} was interrupted. {LOST}"


def test_an_object_that_is_shorter_than_it_was_is_refused(stub: Stub, tmp_path: Path) -> None:
    stub.get = lambda handler: handler.answer(200, CONTENT[:5000], size=5000)
    assert brought(tmp_path) == (
        f"object-changed: {NAME} was changed while it was read. "
        "Run the same command again when nothing writes to it."
    )


def test_a_store_that_passes_over_what_it_is_asked_to_match_is_found_out(
    stub: Stub, tmp_path: Path
) -> None:
    stub.get = lambda handler: handler.answer(200, CONTENT, tag='"two"')
    assert brought(tmp_path).startswith(f"object-changed: {NAME} was changed")


def test_a_store_that_stalls_is_left(stub: Stub, tmp_path: Path) -> None:
    def stall(handler: Handler) -> None:
        handler.answer(200, CONTENT[:5000])
        handler.wfile.flush()
        stub.over.wait()

    stub.get = stall
    assert brought(tmp_path, stall=0.3) == (
        f"connection-lost: the download of {NAME} was interrupted. {LOST}"
    )


def test_a_download_has_a_time_limit_in_all(stub: Stub, tmp_path: Path) -> None:
    def trickle(handler: Handler) -> None:
        handler.answer(200, b"")
        for byte in CONTENT:
            if stub.over.wait(0.05):
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()

    stub.get = trickle
    assert brought(tmp_path, total=0.5) == (
        f"store-timeout: reading {NAME} took longer than 0.5 seconds. "
        "Check the network, or split the data into several sources."
    )
