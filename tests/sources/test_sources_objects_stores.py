"""Objects of Google and Azure, whose listings and headers have their own formats."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from segctl.buckets.bucket import StoreLimits
from segctl.engine.model import SourceError
from segctl.sources.object_store import ObjectFetcher
from tests.sources.stub_store import CONTENT, Handler, Stub, stubbed

DATE = "Sat, 31 Jan 2026 10:00:00 GMT"

GOOGLE = f"""<ListBucketResult><Contents><Key>m/gold.csv</Key><Size>{len(CONTENT)}</Size>
<ETag>"one"</ETag><LastModified>2026-01-31T10:00:00.000Z</LastModified></Contents>
</ListBucketResult>"""

AZURE = f"""<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs><Blob>
<Name>m/gold.csv</Name><Properties><Last-Modified>{DATE}</Last-Modified><Etag>one</Etag>
<Content-Length>{len(CONTENT)}</Content-Length><Content-Type>text/csv</Content-Type></Properties></Blob></Blobs><NextMarker/>
</EnumerationResults>"""


def google(url: str) -> dict[str, str]:
    key = {"gcs_base_url": url, "disable_oauth": True}
    names = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key | names), "GOOGLE_ALLOW_HTTP": "true"}


def azure(url: str) -> dict[str, str]:
    return {
        "AZURE_STORAGE_ACCOUNT_NAME": "acme",
        "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0",
        "AZURE_STORAGE_ENDPOINT": f"{url}/acme",
        "AZURE_ALLOW_HTTP": "true",
    }


@dataclass(frozen=True)
class Other:
    """A fake store of another vendor, with its URL scheme and its listing."""

    scheme: str
    document: str
    stub: Stub


@pytest.fixture(params=[("gs", google, GOOGLE), ("az", azure, AZURE)], ids=["google", "azure"])
def other(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    scheme, settings, document = request.param
    with stubbed() as stub:
        for name, value in settings(f"http://127.0.0.1:{stub.server_port}").items():
            monkeypatch.setenv(name, value)
        yield Other(scheme, document, stub)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectFetcher:
    limits = StoreLimits(total=10.0, stall=5.0, retrying=0.5, retries=0)
    return ObjectFetcher(tmp_path, limits=limits)


@pytest.mark.parametrize("key", ["m/gold.csv", "m/*.csv"])
def test_an_object_and_a_pattern_are_read(other: Other, objects: ObjectFetcher, key: str) -> None:
    def get(handler: Handler) -> None:
        if "list" in handler.path:
            handler.listing(other.document)
        else:
            handler.answer(200, CONTENT)

    other.stub.get = get
    [name] = objects.find(f"{other.scheme}://exports/{key}")
    file = objects.locate(name)
    objects.download([file])
    assert name == f"{other.scheme}://exports/m/gold.csv"
    assert file.read_bytes() == CONTENT
    assert objects.content_id_of(file) == f'{name} "one" {len(CONTENT)}'


def test_a_missing_object_is_an_error(other: Other, objects: ObjectFetcher) -> None:
    empty = re.sub("<(Contents|Blob)>.*</\\1>", "", other.document, flags=re.DOTALL)
    other.stub.head = lambda handler: handler.answer(404, size=0)
    other.stub.get = lambda handler: handler.listing(empty)
    with pytest.raises(SourceError) as caught:
        objects.find(f"{other.scheme}://exports/m/gold.csv")
    assert caught.value.summary == f"there is no object {other.scheme}://exports/m/gold.csv"


def test_a_missing_azure_account_is_an_error_that_names_the_variables(
    objects: ObjectFetcher,
) -> None:
    with pytest.raises(SourceError) as caught:
        objects.find("az://exports/m/gold.csv")
    assert f"{caught.value.summary}. {caught.value.detail}" == (
        "there are no credentials for az://exports/m/gold.csv. Set AZURE_STORAGE_ACCOUNT_NAME "
        "and AZURE_STORAGE_ACCOUNT_KEY, or run with a managed identity."
    )
