"""Values of data appear in no output, wherever they are: marked ones are looked for."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Segctl

MARKS = {
    "email": "marked.person@example.com",
    "number": "49151778899001",
    "long": "marked-" * 30 + "value",
    "dotted": "marked.person-7",
    "short": "marked7",
}
Plant = Callable[[Path, str], dict[str, object]]


def file(path: str, **fields: object) -> dict[str, object]:
    return {"file": {"path": path, **fields}}


def query(sql: str) -> dict[str, object]:
    return {"query": {"sql": sql}}


def headerless(root: Path, mark: str) -> dict[str, object]:
    (root / "m.csv").write_text(f"{mark},x@example.com\n{mark},y@example.com\n")
    return file("m.csv")


def headerless_query(root: Path, mark: str) -> dict[str, object]:
    headerless(root, mark)
    return query("SELECT * FROM 'm.csv'")


def missing_in_query(root: Path, mark: str) -> dict[str, object]:
    headerless(root, mark)
    return query("SELECT email AS identity FROM 'm.csv'")


def doubled(root: Path, mark: str) -> dict[str, object]:
    (root / "m.csv").write_text(f"{mark},{mark},x@example.com\na,b,c\n")
    return query("SELECT * FROM 'm.csv'")


def invalid_rows(root: Path, mark: str) -> dict[str, object]:
    (root / "m.csv").write_text(f'identity\n" {mark}"\n{mark}\t\n')
    return file("m.csv")


def cast(root: Path, mark: str) -> dict[str, object]:
    (root / "m.csv").write_text(f"identity\n{mark}x\n")
    return query("SELECT CAST(CAST(identity AS INTEGER) AS VARCHAR) AS identity FROM 'm.csv'")


def more_columns(root: Path, mark: str) -> dict[str, object]:
    (root / "m.csv").write_text(f"identity,b\n{mark},{mark},{mark}\n")
    return file("m.csv")


def not_json(root: Path, mark: str) -> dict[str, object]:
    (root / "m.jsonl").write_text(f'{{"identity": "a"}}\n{mark}\n')
    return file("m.jsonl")


def not_text(root: Path, mark: str) -> dict[str, object]:
    (root / "m.jsonl").write_text(json.dumps({"identity": [mark]}) + "\n")
    return file("m.jsonl")


def pattern(root: Path, mark: str) -> dict[str, object]:
    (root / "m.txt").write_text(f"{mark}\n")
    return file("m.txt", pattern="[a-c]+")


def comment(root: Path, mark: str) -> dict[str, object]:
    (root / "m.txt").write_text(f"{mark} # {mark}\n")
    return file("m.txt")


def sqlite(root: Path, mark: str) -> dict[str, object]:
    with closing(sqlite3.connect(root / "m.db")) as db:
        db.execute("CREATE TABLE t (identity)")
        db.execute("INSERT INTO t VALUES (?), (?)", [f" {mark}", mark])
        db.commit()
    return {"sqlite": {"path": "m.db", "table": "t"}}


def members(root: Path, mark: str) -> dict[str, object]:
    (root / "m.csv").write_text(f"identity\n{mark}\n")
    return file("m.csv")


PLANTS: tuple[Plant, ...] = (
    *(headerless, headerless_query, missing_in_query, doubled, invalid_rows, cast, more_columns),
    *(not_json, not_text, pattern, comment, sqlite, members),
)


@pytest.mark.parametrize("mark", MARKS.values(), ids=MARKS)
@pytest.mark.parametrize("plant", PLANTS)
def test_a_value_is_in_no_output(
    plant: Plant, mark: str, workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEVERTAP_BASE_URL", "http://127.0.0.1:9")
    spec = {"displayName": "M", "members": [plant(workspace, mark)]}
    head = {"apiVersion": "segctl/v1", "kind": "Segment", "metadata": {"name": "marked"}}
    (workspace / "marked.yaml").write_text(json.dumps({**head, "spec": spec}))
    for view in ("text", "markdown", "json", "html"):
        done = segctl("plan", "--format", view, "--identities", "masked")
        assert done.code in (0, 1)
        assert mark not in done.out + done.err


@pytest.mark.parametrize("mark", MARKS.values(), ids=MARKS)
def test_a_segment_value_that_is_not_declared_is_masked(
    mark: str, workspace: Path, segctl: Segctl
) -> None:
    (workspace / "t.csv").write_text(f"identity,tier\na,{mark}\n")
    table = {
        "apiVersion": "segctl/v1",
        "kind": "SegmentTable",
        "metadata": {"name": "t"},
        "spec": {
            "source": file("t.csv"),
            "segmentColumn": "tier",
            "segments": {"one": {"displayName": "One"}},
        },
    }
    (workspace / "t.yaml").write_text(json.dumps(table))
    done = segctl("plan", "--identities", "full")
    assert (done.code, "for segments that are not declared" in done.err) == (1, True)
    assert mark not in done.out + done.err
