"""The examples of docs/sources.md plan against real services."""

import re
from pathlib import Path

import pytest

from segctl.cli.main import execute
from tests.sources.buckets_kit import BUCKET, Store
from tests.sources.postgres_kit import Server

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"

CRM = """
DROP SCHEMA IF EXISTS crm CASCADE;
CREATE SCHEMA crm;
CREATE TABLE crm.orders (email text, day date);
CREATE TABLE crm.opt_outs (email text);
CREATE TABLE crm.tiers (email text, tier text);
INSERT INTO crm.orders VALUES ('ann@example.com', '2026-01-02'), ('ann@example.com', '2026-01-03');
INSERT INTO crm.opt_outs VALUES ('bob@example.com');
INSERT INTO crm.tiers VALUES ('ann@example.com', 'gold'), ('cy@example.com', 'silver');
"""


def blocks(heading: str) -> list[str]:
    """Return the YAML blocks below a heading."""
    section = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    [text] = [part for part in section if part.startswith(f"{heading}\n")]
    return re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def write_workspace(root: Path, heading: str) -> str:
    """Write the examples below a heading as a workspace, and return its path."""
    for number, block in enumerate(blocks(heading)):
        name = "segctl.yaml" if "kind: Project" in block else f"{number}.yaml"
        (root / name).write_text(block, encoding="utf-8")
    return str(root)


def test_the_examples_with_a_database_plan(
    tmp_path: Path,
    postgres: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    postgres.run(CRM)
    monkeypatch.setenv("WAREHOUSE_URL", postgres.url())
    assert execute(["plan", "-C", write_workspace(tmp_path, "PostgreSQL")]) == 0, (
        capsys.readouterr().err
    )
    assert "Members: 3 to add" in capsys.readouterr().out


OBJECTS = {
    "members/gold.csv": "email\nann@example.com\n",
    "daily/day=2026-01-30/1.csv": "email\nold@example.com\n",
    "daily/day=2026-01-31/1.csv": "email\nnew@example.com\n",
    "orders/1.csv": "email,amount\nbob@example.com,3\ncy@example.com,0\n",
    "opt-outs/2026/january.txt": "new@example.com\n",
}


def test_the_examples_with_a_bucket_plan(
    tmp_path: Path,
    buckets: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in buckets.environment.items():
        monkeypatch.setenv(name, value)
    for key, content in OBJECTS.items():
        buckets.put(key, content)
    root = Path(write_workspace(tmp_path, "Buckets"))
    for file in root.iterdir():
        file.write_text(file.read_text().replace("acme-exports", BUCKET))
    assert execute(["plan", "-C", str(root)]) == 0, capsys.readouterr().err
    assert "Members: 2 to add" in capsys.readouterr().out
    for key in OBJECTS:
        buckets.remove(key)
