"""Which segments are unchanged, and which are read again, after what happened."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from segctl.core.errors import InvalidInput
from segctl.core.identity import Kind, SetDigest
from segctl.core.stop_signal import StopSignal
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan, FoldedTarget, LoadStats
from segctl.engine.protocols import Engine
from segctl.plan.model import Plan
from segctl.planning.planner import PlanOptions, build_plan
from segctl.session.engine_session import engine_session
from segctl.state.model import MemberSet
from segctl.workflows import import_segment as import_workflow
from segctl.workflows.apply import apply_workspace
from segctl.workflows.import_segment import MembersFile, import_segment
from segctl.workflows.validate import load_desired
from tests.planning.unchanged_kit import Workspace

NAMES = ("gold", "silver")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(root=tmp_path / "shop")
    declare(workspace)
    for name in NAMES:
        workspace.write(f"{name}.txt", f"{name}-1\n{name}-2\n")
    return workspace


def declare(workspace: Workspace, **fields: object) -> None:
    """Declare two segments with a file each. ``fields`` are added to the first."""
    documents = []
    for name in NAMES:
        spec: dict[str, object] = {
            "displayName": name,
            "members": [{"file": {"path": f"{name}.txt"}}],
        }
        spec |= fields if name == NAMES[0] else {}
        documents.append(
            json.dumps(
                {
                    "apiVersion": "segctl/v1",
                    "kind": "Segment",
                    "metadata": {"name": name},
                    "spec": spec,
                }
            )
        )
    workspace.write("segments.yaml", "\n---\n".join(documents))


def unchanged(workspace: Workspace) -> set[str]:
    return {address.removeprefix("segment.") for address in workspace.read_selection().unchanged}


def test_nothing_is_read_if_nothing_changed(workspace: Workspace) -> None:
    workspace.apply()
    assert unchanged(workspace) == set(NAMES)
    assert workspace.read_selection().to_read == frozenset()


def test_only_the_segment_whose_source_changed_is_read(workspace: Workspace) -> None:
    workspace.apply()
    workspace.write("gold.txt", "gold-1\n")
    assert unchanged(workspace) == {"silver"}
    assert workspace.plan().members_remove == 1


def test_a_plan_without_changes_does_not_import_the_engine(workspace: Workspace) -> None:
    workspace.apply()
    program = (
        "import sys; from segctl.cli.main import execute; code = execute(sys.argv[1:]); "
        "sys.exit(code or 'duckdb' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, "plan", "-C", str(workspace.root)], check=True)


def test_a_segment_with_an_unanswered_request_is_read_until_it_is_answered(
    workspace: Workspace,
) -> None:
    workspace.apply(lost={0})
    assert unchanged(workspace) == set()
    workspace.apply()
    assert unchanged(workspace) == set(NAMES)


def test_a_segment_with_a_failed_request_is_read_again(workspace: Workspace) -> None:
    workspace.apply(failed={0})
    assert unchanged(workspace) == set()
    workspace.write("silver.txt", "silver-1\n")
    workspace.apply()
    assert unchanged(workspace) == set(NAMES)


def test_recorded_members_that_differ_from_the_basis_are_compared(workspace: Workspace) -> None:
    (workspace.root / "segments.yaml").write_text(
        (workspace.root / "segments.yaml").read_text().split("\n---\n")[0]
    )
    workspace.apply()
    assert unchanged(workspace) == {"gold"}
    workspace.change_state(members=MemberSet(digest=SetDigest()))
    assert unchanged(workspace) == set()
    assert workspace.plan().members_add == 2


def test_a_restored_file_is_compared_with_the_members_recorded_since(workspace: Workspace) -> None:
    workspace.apply()
    workspace.write("gold.txt", "gold-1\n")
    workspace.apply()
    workspace.write("gold.txt", "gold-1\ngold-2\n")
    assert unchanged(workspace) == {"silver"}
    assert workspace.plan().members_add == 1


def test_reread_gives_the_same_plan(workspace: Workspace) -> None:
    workspace.apply()
    assert workspace.plan(reread=True) == workspace.plan()


@pytest.mark.parametrize("content", ["gold-1\ngold-2\ngold-3\n", "gold-1\ngold-"])
def test_a_file_that_changes_while_it_is_read_is_an_error(
    workspace: Workspace, content: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan_while_writing(workspace, "gold.txt", content)
    [problem] = caught.value.diagnostics
    assert problem.summary == "gold.txt: the file was changed while it was read"
    assert problem.detail == "Run the same command again when the file is complete."


def test_a_file_that_is_not_read_may_change(workspace: Workspace) -> None:
    workspace.apply()
    workspace.write("silver.txt", "silver-3\n")
    plan = plan_while_writing(workspace, "gold.txt", "gold-1\n")
    assert plan.members_add == 1


def test_the_error_names_which_of_several_files_changed_while_it_was_read(
    workspace: Workspace,
) -> None:
    workspace.write("gold/1.txt", "gold-1\n")
    workspace.write("gold/2.txt", "gold-2\n")
    declare(workspace, members=[{"file": {"path": "gold"}}])
    with pytest.raises(InvalidInput) as caught:
        plan_while_writing(workspace, "gold/2.txt", "gold-3\n")
    [problem] = caught.value.diagnostics
    assert problem.summary == "gold/2.txt: the file was changed while it was read"


def plan_while_writing(workspace: Workspace, path: str, content: str) -> Plan:
    """Return a plan during which a file changes between its fingerprint and its reading."""
    context = workspace.context()
    with engine_session(context.limits) as session:

        def write_and_open_engine() -> Engine:
            workspace.write(path, content)
            return session.open_engine()

        return build_plan(
            load_desired(context, {}),
            workspace.state,
            PlanOptions(account=None, host="in1.api.clevertap.com"),
            engine=write_and_open_engine,
            recorded_files={},
            root=workspace.root,
            scratch=session.scratch,
            environment={},
            purpose="show",
        ).plan


def test_an_imported_file_is_unchanged_under_another_name(workspace: Workspace) -> None:
    workspace.write("export.txt", "gold-1\ngold-2\n")
    import_file(workspace, "segment.gold", "export.txt")
    assert unchanged(workspace) == {"gold"}


def test_an_imported_segment_with_other_bytes_is_unchanged_after_an_empty_apply(
    workspace: Workspace,
) -> None:
    for name in NAMES:
        workspace.write("export.txt", f"{name}-2\n{name}-1\n")
        import_file(workspace, f"segment.{name}", "export.txt")
    assert unchanged(workspace) == set()
    before = workspace.state
    credentials = {"CLEVERTAP_ACCOUNT_ID": "A", "CLEVERTAP_PASSCODE": "p"}
    context = replace(workspace.context(), environment=credentials)
    result = apply_workspace(context, variables={}, approve=lambda _: False, stop=StopSignal())
    assert result.plan.is_empty
    assert unchanged(workspace) == set(NAMES)
    assert workspace.state.serial == before.serial


def import_file(workspace: Workspace, address: str, path: str) -> None:
    import_segment(
        workspace.context(),
        address,
        members=MembersFile(path=str(workspace.root / path), kind=Kind.IDENTITY),
        variables={},
    )


def test_a_rule_that_holds_is_not_checked_again(workspace: Workspace) -> None:
    declare(workspace, rules=[{"disjoint": ["silver"]}])
    workspace.apply()
    assert unchanged(workspace) == set(NAMES)
    workspace.write("silver.txt", "silver-1\ngold-1\n")
    assert unchanged(workspace) == set()
    assert [finding.code for finding in workspace.plan().error_findings] == ["disjoint"]


def test_a_broken_rule_is_reported_every_time(workspace: Workspace) -> None:
    declare(workspace, rules=[{"size": {"max": 1}, "severity": "warning"}])
    workspace.apply()
    assert unchanged(workspace) == {"silver"}
    assert [finding.code for finding in workspace.plan().findings] == ["size"]


def test_a_file_that_changes_while_it_is_imported_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "gold.txt"
    file.write_text("gold-1\n")

    class WritingEngine(DuckEngine):
        def write_list(self, files: FileScan) -> tuple[LoadStats, FoldedTarget | None]:
            file.write_text("gold-2\n")
            return super().write_list(files)

    engine = WritingEngine(tmp_path)
    with closing(engine), pytest.raises(InvalidInput) as caught:
        import_workflow._read_members(engine, MembersFile(path=str(file)), tmp_path)
    [problem] = caught.value.diagnostics
    assert problem.summary == f"{file}: the file was changed while it was read"


def test_findings_about_rows_are_repeated_for_unchanged_sources(workspace: Workspace) -> None:
    workspace.write("gold.txt", "gold-1\ngold-2\ngold-1\n")
    workspace.apply()
    assert unchanged(workspace) == set(NAMES)
    [finding] = workspace.plan().findings
    assert finding.code == "duplicate-rows"
    assert finding.summary.endswith("1 of 3 rows left out as duplicates")


def test_warnings_about_a_list_are_repeated_for_unchanged_sources(workspace: Workspace) -> None:
    workspace.write("gold.txt", "email\nann@example.com\nAnn@example.com\n")
    workspace.apply()
    assert unchanged(workspace) == set(NAMES)
    read, known = workspace.plan(reread=True).findings, workspace.plan().findings
    assert [finding.summary.partition("gold.txt: ")[2] for finding in known] == [
        "2 values differ from another one only in upper and lower case",
        "the first line looks like a header, and would be a user",
    ]
    assert list(known) == [finding for finding in read if finding.code != "rows-read"]


def test_unchanged_rows_of_a_database_are_not_compared(workspace: Workspace) -> None:
    file = workspace.root / "users.db"
    declare(workspace, members=[{"sqlite": {"path": "users.db", "table": "users"}}])
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript("CREATE TABLE users (identity); INSERT INTO users VALUES ('x');")
    workspace.apply()
    assert unchanged(workspace) == set(NAMES)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO users VALUES ('y')")
    assert unchanged(workspace) == {"silver"}
    assert workspace.plan().members_add == 1


def test_a_query_that_depends_on_the_time_is_run_every_time(workspace: Workspace) -> None:
    workspace.write("rows.csv", "identity\nx\n")
    for sql, is_repeatable in (
        ("select identity from 'rows.csv'", True),
        ("select identity from 'rows.csv' where now() > '2020-01-01'::date", False),
    ):
        declare(workspace, members=[{"query": {"sql": sql}}])
        workspace.apply()
        assert ("gold" in unchanged(workspace)) == is_repeatable
