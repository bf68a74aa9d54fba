"""Objects of a bucket, from a URL in a manifest to a scratch file."""

import gzip
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from segctl.buckets.bucket import StoreLimits
from segctl.engine.model import SourceError
from segctl.manifests.object_urls import parse_object_url
from segctl.sources.object_store import ObjectFetcher
from tests.sources.buckets_kit import BUCKET, SECRET_KEY, Store, free_port


@pytest.fixture(scope="module")
def filled(buckets: Store) -> Iterator[Store]:
    for key in KEYS:
        buckets.put(key, f"of {key}")
    yield buckets
    for key in KEYS:
        buckets.remove(key)


@pytest.fixture
def store(filled: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in filled.environment.items():
        monkeypatch.setenv(name, value)
    return filled


KEYS = [
    "m/gold.csv",
    "m/gold.csv.bak",
    "m/a b+c%é.txt",
    "m/.hidden.csv",
    "m/_SUCCESS",
    "m/deep/er/x.csv",
    "m/_temporary/0/y.csv",
    "mm/other.csv",
    "log/day=2026-01-31/1.csv",
    "log/day=2026-02-01/1.csv",
    "odd/x[1].csv",
    "odd/x1.csv",
    "odd/a*?.csv.gz",
    "odd[12]/b?/c.csv",
    "odd1/b1/d.csv",
]


@pytest.fixture
def objects(tmp_path: Path) -> ObjectFetcher:
    limits = StoreLimits(total=20.0, stall=5.0, retrying=1.0, retries=1)
    return ObjectFetcher(tmp_path / "scratch", limits=limits)


def url(key: str) -> str:
    return f"s3://{BUCKET}/{key}"


def error_of(objects: ObjectFetcher, path: str) -> str:
    with pytest.raises(SourceError) as caught:
        objects.download(map(objects.locate, objects.find(path)))
    assert caught.value.__cause__ is None
    return f"{caught.value.code}: {caught.value.summary}. {caught.value.detail}"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("m/gold.csv", ["m/gold.csv"]),
        ("m/*.csv", ["m/gold.csv"]),
        ("m/go?d.*", ["m/gold.csv", "m/gold.csv.bak"]),
        ("m/**/*.csv", ["m/deep/er/x.csv", "m/gold.csv"]),
        ("m", ["m/a b+c%é.txt", "m/deep/er/x.csv", "m/gold.csv", "m/gold.csv.bak"]),
        ("m/deep/", ["m/deep/er/x.csv"]),
        ("log/day=2026-0[12]-*/*", ["log/day=2026-01-31/1.csv", "log/day=2026-02-01/1.csv"]),
        ("m/_SUCCESS", ["m/_SUCCESS"]),
        ("odd/x[1].csv", ["odd/x[1].csv"]),
        ("odd/x[0-9].csv", ["odd/x1.csv"]),
        ("odd/a*?.csv.gz", ["odd/a*?.csv.gz"]),
        ("odd[12]", ["odd[12]/b?/c.csv"]),
        ("odd[12]/b?/*.csv", ["odd1/b1/d.csv"]),
        ("odd[12]/b?/", ["odd[12]/b?/c.csv"]),
        ("m/_*", ["m/_SUCCESS"]),
        ("mm/*", ["mm/other.csv"]),
        ("*/gold.csv", ["m/gold.csv"]),
        ("m/a b+c%é.txt", ["m/a b+c%é.txt"]),
    ],
)
def test_urls_folders_and_patterns_match_as_paths_of_files_do(
    objects: ObjectFetcher, path: str, found: list[str]
) -> None:
    assert objects.find(url(path)) == tuple(map(url, found))


@pytest.mark.usefixtures("store")
def test_a_whole_bucket_is_a_folder(objects: ObjectFetcher) -> None:
    assert len(objects.find(f"s3://{BUCKET}")) == len(objects.find(f"s3://{BUCKET}/")) == 12


@pytest.mark.usefixtures("store")
def test_an_object_is_downloaded_once_and_not_before_it_is_needed(objects: ObjectFetcher) -> None:
    [name] = objects.find(url("m/gold.csv"))
    file = objects.locate(name)
    assert not file.exists()
    objects.download([file, Path("elsewhere.csv")])
    written = file.stat().st_mtime_ns
    objects.download([objects.locate(name)])
    assert (file.read_text(), file.stat().st_mtime_ns) == ("of m/gold.csv", written)
    assert objects.url_of(file) == name


@pytest.mark.usefixtures("store")
def test_scratch_files_keep_names_and_partitions_and_are_private(
    objects: ObjectFetcher,
) -> None:
    files = [objects.locate(name) for name in objects.find(url("log"))]
    objects.download(files)
    assert [file.parts[-2:] for file in files] == [
        ("day=2026-01-31", "1.csv"),
        ("day=2026-02-01", "1.csv"),
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert {stat.S_IMODE(file.parent.stat().st_mode) for file in files} == {0o700}
    assert [file.read_text() for file in files] == [
        "of log/day=2026-01-31/1.csv",
        "of log/day=2026-02-01/1.csv",
    ]


def test_an_object_larger_than_a_chunk_is_downloaded_completely(
    objects: ObjectFetcher, store: Store
) -> None:
    content = gzip.compress(bytes(range(256)) * 40_000, compresslevel=0)
    name = store.put("large.csv.gz", content)
    file = objects.locate(*objects.find(name))
    objects.download([file])
    assert file.read_bytes() == content
    store.remove("large.csv.gz")


def test_the_content_id_changes_with_the_content(objects: ObjectFetcher, store: Store) -> None:
    file = objects.locate(*objects.find(store.put("content.csv", "one")))
    one = objects.content_id_of(file)
    objects.find(store.put("content.csv", "one"))
    assert objects.content_id_of(file) == one
    objects.find(store.put("content.csv", "two"))
    store.remove("content.csv")
    assert objects.content_id_of(file) != one
    assert objects.content_id_of(Path("elsewhere.csv")) is None


def test_an_object_that_is_replaced_before_download_is_an_error(
    objects: ObjectFetcher, store: Store
) -> None:
    file = objects.locate(*objects.find(store.put("new.csv", "one")))
    store.put("new.csv", "two")
    with pytest.raises(SourceError) as caught:
        objects.download([file])
    store.remove("new.csv")
    assert caught.value.summary == f"{url('new.csv')} was changed while it was read"
    assert not file.exists()


def test_an_object_that_is_removed_before_download_is_an_error(
    objects: ObjectFetcher, store: Store
) -> None:
    name = store.put("gone.csv", "x")
    files = [objects.locate(name) for name in objects.find(name)]
    store.remove("gone.csv")
    with pytest.raises(SourceError) as caught:
        objects.download(files)
    assert caught.value.summary == f"there is no object {name}"


# Errors


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            url("none.csv"),
            (f"missing-file: there is no object {url('none.csv')}. Check the URL."),
        ),
        (
            url("m/*.parquet"),
            (
                f"missing-file: no object matches {url('m/*.parquet')}. "
                "Names that begin with a dot or an underscore are skipped."
            ),
        ),
        (
            "s3://no-such-bucket/*.csv",
            (
                "missing-bucket: there is no bucket s3://no-such-bucket. "
                "Check the name, the endpoint and the account."
            ),
        ),
        (
            "s3://no-such-bucket/m.csv",
            (
                "missing-bucket: there is no bucket s3://no-such-bucket. "
                "Check the name, the endpoint and the account."
            ),
        ),
        (
            url("m/../x.csv"),
            (
                f"bad-path: {url('m/../x.csv')} is not a valid object name. "
                "Its parts between slashes cannot be empty, . or .."
            ),
        ),
        (
            url("m//x.csv"),
            (
                f"bad-path: {url('m//x.csv')} is not a valid object name. "
                "Its parts between slashes cannot be empty, . or .."
            ),
        ),
        (
            f"s3://AKIA:{SECRET_KEY}@{BUCKET}/m.csv",
            (
                "bad-path: a path with :// in it is not the URL of an object. "
                "Write s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY. "
                "Credentials come from the environment."
            ),
        ),
    ],
)
def test_a_path_without_objects_is_an_error(
    objects: ObjectFetcher, path: str, message: str
) -> None:
    assert error_of(objects, path) == message


@pytest.mark.parametrize(
    "path",
    ["http://example.com/x.csv", "s3:///x.csv", "s3://a b/x", "s3://../x", "S3://b/x", "file:///x"],
)
def test_a_malformed_url_is_not_an_object_url(path: str) -> None:
    assert parse_object_url(path) is None


def test_a_store_that_cannot_be_reached_is_an_error(
    objects: ObjectFetcher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert error_of(objects, url("m.csv")) == (
        f"store-unreachable: the store of {url('m.csv')} cannot be reached. "
        "Check the network, AWS_REGION and, if it is set, AWS_ENDPOINT_URL."
    )
    del store


def test_a_store_that_cannot_be_reached_while_a_proxy_is_set_names_its_variable(
    objects: ObjectFetcher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    told = error_of(objects, url("m.csv"))
    assert told.endswith(" HTTP_PROXY is set: check that proxy and NO_PROXY, too.")
    del store


def test_an_endpoint_without_tls_is_an_error_unless_allowed(
    objects: ObjectFetcher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    assert error_of(objects, url("m.csv")) == (
        f"store-unreachable: the endpoint for {url('m.csv')} is not an https:// URL. "
        "Check AWS_ENDPOINT_URL. To use http://, set AWS_ALLOW_HTTP=true."
    )
    del store


def test_missing_credentials_are_an_error_that_names_the_variables(
    objects: ObjectFetcher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    assert error_of(objects, url("m.csv")) == (
        f"no-credentials: there are no credentials for {url('m.csv')}. "
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with an IAM role."
    )
    del store


SETTINGS = "the environment's settings for s3://segctl-members/m.csv are invalid. "


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        (
            "AWS_ACCESS_KEY_ID",
            "AKIATESTS\n",
            "Remove white space and line breaks from the value of AWS_ACCESS_KEY_ID.",
        ),
        (
            "AWS_SESSION_TOKEN",
            "to\nken",
            "Remove white space and line breaks from the value of AWS_SESSION_TOKEN.",
        ),
        *(
            (
                "AWS_ENDPOINT_URL",
                value,
                "Set AWS_ENDPOINT_URL to a URL such as https://storage.example.com:9000.",
            )
            for value in ("", "127.0.0.1:9000", "http://", "http://[::1", "http://h:99999")
        ),
        ("AWS_REGION", "us east 1", "Check the variables that begin with AWS_."),
        ("AWS_SECRET_ACCESS_KEY", None, "Check the variables that begin with AWS_."),
    ],
)
def test_invalid_settings_are_named_without_their_values(
    objects: ObjectFetcher,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str | None,
    advice: str,
) -> None:
    if name == "AWS_REGION":  # part of the host name if no endpoint is set
        monkeypatch.delenv("AWS_ENDPOINT_URL")
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    assert error_of(objects, url("m.csv")) == f"store-settings: {SETTINGS}{advice}"


def test_folder_markers_are_skipped(objects: ObjectFetcher, store: Store) -> None:
    keys = ["w/", "w/deep/", "w/deep/a.csv", "w/empty.csv", "w/x.csv", "w/x.csv/", "w/x.csv/b.csv"]
    for key in keys:
        store.put(key, "" if key.endswith(("/", "empty.csv")) else "identity\n")
    found = [objects.find(url("w")), objects.find(url("w/*")), objects.find(url("w/x.csv/*"))]
    with pytest.raises(SourceError, match="no object matches"):
        objects.find(url("w/dee*"))
    files = [objects.locate(name) for name in found[0]]
    objects.download(files)
    for key in keys:
        store.remove(key)
    inside = [url("w/deep/a.csv"), url("w/empty.csv"), url("w/x.csv"), url("w/x.csv/b.csv")]
    assert found == [tuple(inside), tuple(inside[1:3]), (inside[3],)]
    assert [file.read_text() for file in files] == ["identity\n", "", "identity\n", "identity\n"]


@pytest.mark.parametrize("key", ["odd//x.csv", "odd/a\tb.csv"])
def test_an_object_name_that_cannot_be_read_is_an_error(
    objects: ObjectFetcher, store: Store, key: str
) -> None:
    store.put(key, "identity\n")
    message = error_of(objects, url("odd"))
    store.remove(key)
    assert message == (
        f"bad-path: {url('odd')} contains an object whose name cannot be read ({key}). "
        "Names cannot have control characters, // or /../ in them. "
        "Rename the object, or read a folder without it."
    )
