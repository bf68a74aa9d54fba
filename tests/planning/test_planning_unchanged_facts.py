"""What is recognised, what is read again, and what is known after which apply."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from segctl.core.errors import InvalidInput
from segctl.core.identity import Kind, SetDigest
from segctl.core.stop_signal import StopSignal
from segctl.engine.base import Engine, FoldedTarget
from segctl.engine.duckdb import DuckEngine
from segctl.plan.model import Plan
from segctl.planning.planner import PlanOptions, build_plan
from segctl.session.context import engine_session
from segctl.state.model import MemberSet
from segctl.workflows import import_segment as import_workflow
from segctl.workflows.apply import apply_workspace
from segctl.workflows.import_segment import MembersFile, import_segment
from segctl.workflows.validate import load_desired
from tests.planning.unchanged_kit import Place

NAMES = ("gold", "silver")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(root=tmp_path / "shop")
    declare(place)
    for name in NAMES:
        place.write(f"{name}.txt", f"{name}-1\n{name}-2\n")
    return place


def declare(place: Place, **fields: object) -> None:
    """Declare segments that have a file each; ``fields`` are added to the first."""
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
    place.write("segments.yaml", "\n---\n".join(documents))


def settled(place: Place) -> set[str]:
    return {address.removeprefix("segment.") for address in place.recognized().settled}


def test_nothing_is_read_where_nothing_changed(place: Place) -> None:
    place.apply()
    assert settled(place) == set(NAMES)
    assert place.recognized().read == frozenset()


def test_a_segment_whose_source_changed_is_read_alone(place: Place) -> None:
    place.apply()
    place.write("gold.txt", "gold-1\n")
    assert settled(place) == {"silver"}
    assert place.plan().members_remove == 1


def test_a_plan_without_changes_does_not_even_load_the_engine(place: Place) -> None:
    place.apply()
    program = (
        "import sys; from segctl.cli.main import run; code = run(); "
        "sys.exit(code or 'duckdb' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, "plan", "-C", str(place.root)], check=True)


def test_who_got_no_answer_is_read_again_until_there_is_one(place: Place) -> None:
    place.apply(lost={0})
    assert settled(place) == set()
    place.apply()
    assert settled(place) == set(NAMES)


def test_a_segment_with_a_failed_request_is_not_taken_for_done(place: Place) -> None:
    place.apply(failed={0})
    assert settled(place) == set()
    place.write("silver.txt", "")
    place.apply()
    assert settled(place) == set(NAMES)


def test_members_that_are_not_those_the_sources_came_to_are_compared(place: Place) -> None:
    (place.root / "segments.yaml").write_text(
        (place.root / "segments.yaml").read_text().split("\n---\n")[0]
    )
    place.apply()
    assert settled(place) == {"gold"}
    place.change_state(members=MemberSet(digest=SetDigest()))
    assert settled(place) == set()
    assert place.plan().members_add == 2


def test_a_file_put_back_as_it_was_is_not_taken_for_what_is_recorded(place: Place) -> None:
    place.apply()
    place.write("gold.txt", "gold-1\n")
    place.apply()
    place.write("gold.txt", "gold-1\ngold-2\n")
    assert settled(place) == {"silver"}
    assert place.plan().members_add == 1


def test_everything_is_read_where_asked_for(place: Place) -> None:
    place.apply()
    assert place.plan(reread=True) == place.plan()


@pytest.mark.parametrize("content", ["gold-1\ngold-2\ngold-3\n", "gold-1\ngold-", ""])
def test_a_file_that_changes_while_it_is_read_is_an_error(place: Place, content: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        planned_while(place, "gold.txt", content)
    [problem] = caught.value.diagnostics
    assert problem.summary == "gold.txt: the file was changed while it was read"
    assert problem.detail == "Run the same command again once it is written."


def test_a_file_that_nobody_reads_may_change(place: Place) -> None:
    place.apply()
    place.write("silver.txt", "silver-3\n")
    plan = planned_while(place, "gold.txt", "gold-1\n")
    assert plan.members_add == 1


def test_of_several_files_the_one_that_changes_while_it_is_read_is_named(place: Place) -> None:
    place.write("gold/1.txt", "gold-1\n")
    place.write("gold/2.txt", "gold-2\n")
    declare(place, members=[{"file": {"path": "gold"}}])
    with pytest.raises(InvalidInput) as caught:
        planned_while(place, "gold/2.txt", "gold-3\n")
    said = "gold/2.txt: the file was changed while it was read"
    assert [problem.summary for problem in caught.value.diagnostics] == [said]


def planned_while(place: Place, path: str, content: str) -> Plan:
    """Plan, while a file changes after it was looked at and before it is read."""
    context = place.context()
    with engine_session(context.limits) as at:

        def engine() -> Engine:
            place.write(path, content)
            return at.engine()

        return build_plan(
            load_desired(context, {}),
            place.state,
            PlanOptions(account=None, host="in1.api.clevertap.com"),
            engine=engine,
            recorded_files={},
            root=place.root,
            scratch=at.scratch,
            environment={},
            purpose="show",
        ).plan


def test_an_imported_file_is_recognised_wherever_the_manifest_has_it(place: Place) -> None:
    place.write("export.txt", "gold-1\ngold-2\n")
    adopt(place, "segment.gold", "export.txt")
    assert settled(place) == {"gold"}


def test_an_import_of_other_bytes_is_compared_and_known_once_an_apply_found_no_change(
    place: Place,
) -> None:
    for name in NAMES:
        place.write("export.txt", f"{name}-2\n{name}-1\n")
        adopt(place, f"segment.{name}", "export.txt")
    assert settled(place) == set()
    before = place.state
    applied = apply_workspace(
        place.context(), variables={}, approve=lambda _: False, stop=StopSignal()
    )
    assert applied.plan.is_empty
    assert settled(place) == set(NAMES)
    assert place.state.serial == before.serial


def adopt(place: Place, address: str, path: str) -> None:
    import_segment(
        place.context(),
        address,
        members=MembersFile(path=str(place.root / path), kind=Kind.IDENTITY),
        variables={},
    )


def test_a_rule_that_holds_is_not_judged_again(place: Place) -> None:
    declare(place, rules=[{"disjoint": ["silver"]}])
    place.apply()
    assert settled(place) == set(NAMES)
    place.write("silver.txt", "silver-1\ngold-1\n")
    assert settled(place) == set()
    assert [finding.code for finding in place.plan().error_findings] == ["disjoint"]


def test_a_broken_rule_is_told_of_each_time(place: Place) -> None:
    declare(place, rules=[{"size": {"max": 1}, "severity": "warning"}])
    place.apply()
    assert settled(place) == {"silver"}
    assert [finding.code for finding in place.plan().findings] == ["size"]


def test_a_file_that_changes_while_it_is_imported_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "gold.txt"
    file.write_text("gold-1\n")

    class Late(DuckEngine):
        def keep_desired(self, target: int) -> FoldedTarget:
            file.write_text("gold-2\n")
            return super().keep_desired(target)

    engine = Late(tmp_path)
    with closing(engine), pytest.raises(InvalidInput) as caught:
        import_workflow._read(engine, MembersFile(path=str(file)), tmp_path)
    [problem] = caught.value.diagnostics
    assert problem.summary == f"{file}: the file was changed while it was read"


def test_what_is_said_of_rows_is_said_again_though_they_are_not_read(place: Place) -> None:
    place.write("gold.txt", "gold-1\ngold-2\ngold-1\n")
    place.apply()
    assert settled(place) == set(NAMES)
    [finding] = place.plan().findings
    assert finding.code == "duplicate-rows"
    assert finding.summary.endswith("1 row of 3 left out, since the same user stands in another")


def test_rows_of_a_database_that_are_the_same_are_not_compared(place: Place) -> None:
    file = place.root / "users.db"
    declare(place, members=[{"sqlite": {"path": "users.db", "table": "users"}}])
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript("CREATE TABLE users (identity); INSERT INTO users VALUES ('x');")
    place.apply()
    assert settled(place) == set(NAMES)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO users VALUES ('y')")
    assert settled(place) == {"silver"}
    assert place.plan().members_add == 1


def test_a_query_that_asks_for_the_time_is_run_each_time(place: Place) -> None:
    place.write("rows.csv", "identity\nx\n")
    for sql, known in (
        ("select identity from 'rows.csv'", True),
        ("select identity from 'rows.csv' where now() > '2020-01-01'::date", False),
    ):
        declare(place, members=[{"query": {"sql": sql}}])
        place.apply()
        assert ("gold" in settled(place)) == known
