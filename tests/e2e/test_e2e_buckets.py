"""Segments with members in buckets, from objects to the service."""

import gzip
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from segctl.core.errors import InvalidInput
from tests.e2e.workshop import PATIENCE, Workshop, findings_of, identities, segment
from tests.sources.buckets_kit import BUCKET, SECRET_KEY, Store
from tests.sources.stub_store import NAME, Handler, stubbed

Put = Callable[[str, bytes | str], str]


@pytest.fixture
def put(shop: Workshop, buckets: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    for name, value in buckets.environment.items():
        monkeypatch.setenv(name, value)
    shop.environment |= buckets.environment
    keys: set[str] = set()

    def put(key: str, content: bytes | str) -> str:
        keys.add(key)
        return buckets.put(key, content)

    yield put
    for key in keys:
        buckets.remove(key)


def done(shop: Workshop) -> None:
    shop.apply()
    shop.settled()


def of(path: str, more: str = "") -> str:
    return f"members: [{{file: {{path: '{path}'{more}}}}}]"


def parquet(path: Path, value: str) -> bytes:
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT '{value}' AS identity) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def test_objects_of_every_format_fill_a_segment(shop: Workshop, put: Put) -> None:
    paths = [
        put("f/a.csv", "identity\ncsv\n"),
        put("f/a.tsv", "identity\ttier\ntsv\tgold\n"),
        put("f/a.jsonl", '{"identity": "jsonl"}\n'),
        put("f/a.txt", "txt\n"),
        put("f/a.parquet", parquet(shop.scratch / "a.parquet", "parquet")),
        put("f/b.csv.gz", gzip.compress(b"identity\ngz\n")),
    ]
    lines = "".join(f"  - file: {{path: '{path}'}}\n" for path in paths)
    shop.declare(segment("all", spec=f"members:\n{lines}"))
    done(shop)
    assert shop.service.members("all") == identities("csv", "tsv", "jsonl", "txt", "parquet", "gz")


def test_a_pattern_a_folder_and_a_partition_are_read_as_of_files(shop: Workshop, put: Put) -> None:
    put("p/day=2026-01-30/x.csv", "identity\nold\n")
    put("p/day=2026-01-31/x.csv", "identity\nnew\n")
    put("p/day=2026-01-31/y.csv", "identity\nnewer\n")
    base = f"s3://{BUCKET}/p"
    shop.declare(
        segment("pattern", spec=of(f"{base}/*-31/x.csv")),
        segment("folder", spec=of(base)),
        segment("partition", spec=of(base, ", where: {day: 2026-01-31}")),
    )
    done(shop)
    assert shop.service.members("pattern") == identities("new")
    assert shop.service.members("folder") == identities("old", "new", "newer")
    assert shop.service.members("partition") == identities("new", "newer")


def test_a_query_and_a_table_read_objects_and_files(shop: Workshop, put: Put) -> None:
    put("q/day=2026-01-31/orders.csv", "email,tier\na,gold\nb,silver\n")
    shop.write("vip.csv", "email\nb\n")
    path = f"s3://{BUCKET}/q/*/orders.csv"
    sql = (
        f"SELECT email AS identity FROM '{path}' AS o JOIN 'vip.csv' AS v USING (email) "
        "WHERE day = '2026-01-31'"
    )
    shop.declare(
        segment("vip", spec=f'members: [{{query: {{sql: "{sql}"}}}}]'),
        "apiVersion: segctl/v1\nkind: SegmentTable\nmetadata: {name: tiers}\n"
        f"spec:\n  source: {{file: {{path: '{path}', column: email}}}}\n"
        "  segmentColumn: tier\n"
        "  segments: {gold: {displayName: Gold}, silver: {displayName: Silver}}\n",
    )
    done(shop)
    assert shop.service.members("vip") == identities("b")
    assert shop.service.members("gold") == identities("a")
    assert shop.service.members("silver") == identities("b")


def test_an_object_that_did_not_change_is_not_read_again(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.declare(segment("gold", spec=of(NAME)))
    with stubbed() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        done(shop)
        store.get = lambda handler: handler.refuse(403, "AccessDenied")
        assert shop.plan().is_empty
        store.head = lambda handler: handler.answer(200, tag='"two"')
        with pytest.raises(InvalidInput, match="1 problem found"):
            shop.plan()


def test_a_segment_is_imported_with_the_members_of_an_object(shop: Workshop, put: Put) -> None:
    path = put("i/gold.csv", "email\na\nb\n")
    shop.declare(segment("gold", spec=of(path, ", column: email")), segment("silver", "x"))
    ran = shop.run("import", "gold", "--members", path, "--column", "email")
    assert ran.code == 0
    assert shop.plan(targets=("segment.gold",)).is_empty
    wrong = shop.run("import", "silver", "--members", f"s3://AKIA:{SECRET_KEY}@b/x.csv")
    assert wrong.code == 1
    assert SECRET_KEY not in wrong.out + wrong.err


def test_counts_and_mistakes_name_the_object(shop: Workshop, put: Put) -> None:
    path = put("c/a.csv", 'identity\na\na\n""\n')
    shop.declare(segment("gold", spec=of(path, ", onInvalid: skip")))
    assert sorted(finding.summary for finding in findings_of(shop.plan())) == [
        f"segments.yaml:6:13: {path}: 1 of 3 rows left out as duplicates",
        f"segments.yaml:6:13: {path}: 1 of 3 rows left out as invalid: 1 with no value (NULL)",
    ]
    put("c/b.csv", 'identity\n""\n')
    shop.declare(segment("gold", spec=of(f"s3://{BUCKET}/c/*.csv")))
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    [found] = caught.value.diagnostics
    assert found.summary == (
        f"s3://{BUCKET}/c/*.csv: 2 rows with no value (NULL), the first is row 3 of {path}"
    )


def test_an_object_that_is_not_a_table_is_named(shop: Workshop, put: Put) -> None:
    put("d/a.csv", "identity\na\n")
    broken = put("d/b.csv", "email\nb\n")
    shop.declare(segment("gold", spec=of(f"s3://{BUCKET}/d/*.csv")))
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    [found] = caught.value.diagnostics
    assert found.summary == f'{broken}: the file has no column "identity"'


def test_a_missing_object_stops_the_plan_with_its_location(shop: Workshop, put: Put) -> None:
    del put
    path = f"s3://{BUCKET}/none.csv"
    shop.declare(segment("gold", spec=of(path)))
    ran = shop.run("plan")
    assert ran.code == 1
    assert f"segments.yaml:6:13: error: there is no object {path}\n" in ran.err


def test_credentials_and_scratch_files_are_nowhere_afterwards(shop: Workshop, put: Put) -> None:
    path = put("e/a.csv", "identity\na\n")
    shop.declare(segment("gold", spec=of(path)))
    for endpoint in (shop.environment["AWS_ENDPOINT_URL"], "http://127.0.0.1:1"):
        ran = shop.run("plan", "--log-level", "debug", AWS_ENDPOINT_URL=endpoint)
        assert SECRET_KEY not in ran.out + ran.err
        assert endpoint not in ran.out + ran.err
    assert list(shop.scratch.iterdir()) == []


def test_a_signal_during_a_download_ends_the_plan_and_removes_its_files(shop: Workshop) -> None:
    asked = threading.Event()

    def stall(handler: Handler) -> None:
        asked.set()
        handler.server.over.wait()

    shop.declare(segment("gold", spec=of(NAME)))
    with stubbed() as store:
        store.get = stall
        with shop.process("plan", **store.environment) as process:
            assert asked.wait(PATIENCE)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 130
    assert list(shop.scratch.iterdir()) == []
