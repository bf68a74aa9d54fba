"""The examples of docs/manifests.md validate and plan, and its tables match the models."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import BaseModel

from segctl.cli.main import execute
from segctl.core.holdout import Holdout
from segctl.core.identity import PLACEHOLDERS, Kind
from segctl.manifests import (
    block_models,
    documents,
    guard_models,
    project_models,
    rule_models,
    source_models,
)

PAGE = Path(__file__).parents[2] / "docs" / "manifests.md"

DATA = {
    "members/gold.csv": "email\nann@example.com\n",
    "exports/council.csv": "identity\nbarbara@example.com\n",
    "members/branches.csv": "Kunde;Ort\nfay@example.com;Ulm\n",
    "members/opt-outs.txt": "bob@example.com\n",
    "members/complaints.txt": "carl@example.com\n",
    "members/events/day=2026-01-31/part-0.jsonl": '{"identity": "ann@example.com"}\n',
    "members/tiers.csv": "customer_id,tier\n1001,silver\n1002,bronze\n1003,lead\n",
    "queries/in-paris.sql": "SELECT email AS identity FROM 'members/orders.csv'\n"
    "WHERE city = 'Paris'\n",
    "members/orders.csv": "email,day,city\n"
    "eve@example.com,2026-01-01,London\neve@example.com,2026-01-02,Paris\n",
}
"""The files that the examples read."""

CRM = """
CREATE TABLE users (email TEXT, left_on TEXT);
INSERT INTO users VALUES ('ann@example.com', NULL), ('carl@example.com', '2026-01-02');
"""

TABLES: dict[str, type[BaseModel]] = {
    "spec": project_models.ProjectSpec,
    "spec.provider": project_models.Provider,
    "spec.queries": project_models.QuerySettings,
    "spec.state": project_models.StateSettings,
    "spec.environments.NAME": project_models.EnvironmentSpec,
    "spec.guards": guard_models.ProjectGuards,
    "spec.rejects": project_models.RejectSettings,
    "spec.connections.NAME": project_models.Connection,
    "spec.variables.NAME": project_models.VariableDeclaration,
    "metadata": documents.SegmentMetadata,
    "spec of a Segment": documents.SegmentSpec,
    "Sources": source_models.MemberSource,
    "file": source_models.File,
    "query": source_models.Query,
    "sqlite": source_models.Sqlite,
    "command": source_models.Command,
    "postgres": source_models.Postgres,
    "spec of a Membership": documents.MembershipSpec,
    "spec of a SegmentTable": documents.SegmentTableSpec,
    "a segment of a SegmentTable": documents.TableSegment,
    "spec of a Refactoring": block_models.RefactoringSpec,
    "import": block_models.ImportBlock,
    "moved": block_models.MovedBlock,
    "removed": block_models.RemovedBlock,
    "Hold-outs": rule_models.HoldoutSettings,
    "Guards": guard_models.GuardSettings,
    "Lifecycle": documents.LifecycleSettings,
}
"""The heading above each table, and the model that it describes."""


def section(heading: str) -> str:
    """Return the text between a heading and the next one."""
    found = re.search(
        rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, heading
    return found[1]


def table_defaults(heading: str) -> dict[str, str]:
    """Return the default of each field in the table below a heading."""
    table = re.search(r"^\| field \|.*?\n\|.*?\n((?:\|.*\n)+)", section(heading), re.MULTILINE)
    assert table, heading
    found = re.findall(r"^\| `(\w+)` \| (.*?) \|", table[1], re.MULTILINE)
    return dict(found)


def format_default(value: Any) -> str:
    """Return a default as the page writes it."""
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def test_every_example_validates_and_plans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(
        r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    files = {f"{n}.yaml": block for n, block in enumerate(blocks) if "kind: Project" not in block}
    project, ignoring, environments = (block for block in blocks if "kind: Project" in block)
    for name, text in {**files, **DATA, "segctl.yaml": project}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / "members/crm.db")) as db:
        db.executescript(CRM)
    bq = tmp_path / "bin/bq"
    bq.parent.mkdir()
    bq.write_text("#!/bin/sh\nprintf 'identity,id\\ndora@example.com,1001\\n'\n")
    bq.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bq.parent}:{os.environ['PATH']}")
    assert execute(["plan", "-C", str(tmp_path)]) == 0, capsys.readouterr().err
    assert "Plan: 13 to add, 0 to change, 0 to destroy, 1 to adopt.\n" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    (other / "segctl.yaml").write_text(environments, encoding="utf-8")
    for name in ("staging", "production"):
        assert execute(["plan", "-C", str(other), "-e", name]) == 0, capsys.readouterr().err
    for name in ("segctl.yaml", "charts/a.yaml", "tests/fixtures/b.yaml", "bazel-out.yaml"):
        (tmp_path / "third" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "third" / name).write_text("{{ no YAML }}: [")
    (tmp_path / "third/segctl.yaml").write_text(ignoring, encoding="utf-8")
    assert execute(["validate", "-C", str(tmp_path / "third")]) == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_has_the_fields_and_defaults_of_its_model(heading: str) -> None:
    shown = table_defaults(heading)
    fields = {field.alias: field for field in TABLES[heading].model_fields.values()}
    assert set(shown) == set(fields)
    for name, field in fields.items():
        default = shown[str(name)]
        if field.is_required():
            assert default == "required", name
        elif isinstance(field.default, str | bool | int | float):
            assert default == format_default(field.default), name
        else:
            assert default != "required", name


def test_every_table_of_fields_is_compared_with_a_model() -> None:
    assert PAGE.read_text(encoding="utf-8").count("| field | default | meaning |") == len(TABLES)


def test_every_placeholder_is_named() -> None:
    shown = set(re.findall(r"`([^`\n]+)`", section("Sources")))
    assert shown >= PLACEHOLDERS


def test_the_sql_shown_finds_who_is_held_out(tmp_path: Path) -> None:
    users = [f"user{n}@example.com" for n in range(1000)]
    (tmp_path / "gold.csv").write_text("email\n" + "".join(f"{user}\n" for user in users))
    [shown] = re.findall(r"^```sql\n(.*?)^```$", section("Hold-outs"), re.MULTILINE | re.DOTALL)
    with duckdb.connect() as db:
        found = db.execute(shown.replace("members/", f"{tmp_path}/")).fetchall()
    holdout = Holdout(percent=5, salt="spring-2026")
    assert {user for (user,) in found} == {u for u in users if holdout.holds_out(Kind.IDENTITY, u)}
