"""Segments that are left out of a plan: with --exclude, and with --hold what is refused."""

import re
import socketserver
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from segctl.core.errors import AppliedInPart, GuardRefused, InvalidInput, OperationError, WrongUsage
from segctl.plan.model import Plan
from segctl.planning.proof import prove_settings
from segctl.workflows.state import read_state
from segctl.workflows.validate import load_desired
from tests.e2e.outside_answers import CUT_AFTER, always, no_faults
from tests.e2e.test_e2e_blocks import imported, moved
from tests.e2e.workshop import Workshop, identities, many, segment
from tests.sources.stub_store import Handler, stubbed

TABLE = """\
apiVersion: segctl/v1
kind: SegmentTable
metadata: {name: deciles}
spec:
  source: {file: {path: deciles.csv, column: user}}
  segmentColumn: decile
  segments:
    low:
      displayName: Low
    high: {displayName: High}
"""
BLOCK = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: low}
spec:
  displayName: Low
  members: [{file: {path: rows.csv, column: user}}]
"""
LIMITED = "guards: {maxDestroys: 0}"
DISJOINT = """\
apiVersion: segctl/v1
kind: Project
metadata: {name: shop}
spec:
  rules: [{disjoint: [gold, vip]}]
"""


def held(plan: Plan) -> dict[str, str]:
    """Return the code for which each segment is held back."""
    return {address: why.code for why in plan.held for address in why.segments}


def from_file(name: str, *, spec: str = "") -> str:
    return segment(name, spec=f"members: [{{file: {{path: {name}.txt}}}}]\n{spec}")


def lose_most(shop: Workshop, *others: str) -> None:
    """Apply gold with 100 members and vip with 1; then gold loses all but 10, vip gains one."""
    shop.declare(segment("gold", *many(100)), segment("vip", "a@x.de"), *others)
    shop.apply()
    shop.declare(segment("gold", *many(10)), segment("vip", "a@x.de", "b@x.de"), *others)


# --exclude


def test_an_excluded_segment_is_left_as_it_is(shop: Workshop) -> None:
    lose_most(shop)
    plan = shop.plan(excluded=("g*",))
    assert [change.address for change in plan.changes] == ["segment.vip"]
    assert plan.excluded == ("g*",)
    shop.apply(excluded=("g*",))
    assert len(shop.service.everyone()["gold"]) == 100
    assert shop.service.everyone()["vip"] == identities("a@x.de", "b@x.de")


def test_target_comes_first_and_exclude_second(shop: Workshop) -> None:
    shop.declare(*(segment(name, "a@x.de") for name in ("gold", "gold-new", "vip")))
    plan = shop.plan(targets=("gold*",), excluded=("*-new",))
    assert [change.address for change in plan.changes] == ["segment.gold"]


def test_an_exclusion_that_matches_nothing_is_refused(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@x.de"))
    with pytest.raises(WrongUsage, match="--exclude gld matches no") as caught:
        shop.plan(excluded=("gld",))
    assert "Did you mean" in caught.value.hint


def test_one_of_two_segments_that_exchange_an_address_cannot_be_excluded(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@x.de"), segment("vip", "b@x.de"))
    shop.apply()
    shop.declare(
        segment("gold", "b@x.de", spec="customerSegmentId: vip"),
        segment("vip", "a@x.de", spec="customerSegmentId: gold"),
    )
    with pytest.raises(WrongUsage, match="exchanges its address"):
        shop.plan(excluded=("vip",))
    assert shop.plan(excluded=("*",)).is_empty


# --hold


def test_what_a_guard_refuses_is_held_back_and_the_rest_goes(shop: Workshop) -> None:
    lose_most(shop)
    before = read_state(shop.context()).segments["segment.gold"]
    plan = shop.apply(hold=True).plan
    assert held(plan) == {"segment.gold": "max-remove-percent"}
    assert plan.findings[0].summary.startswith("held back: segment.gold loses 90 of 100")
    assert "allow: {removals: 90" in plan.findings[0].detail
    assert len(shop.service.everyone()["gold"]) == 100
    assert shop.service.everyone()["vip"] == identities("a@x.de", "b@x.de")
    assert read_state(shop.context()).segments["segment.gold"] == before
    assert shop.plan(hold=True).is_empty


def test_two_plans_that_hold_back_have_one_digest(shop: Workshop) -> None:
    lose_most(shop)
    digest = shop.plan(hold=True).digest
    assert shop.plan(hold=True, reread=True).digest == digest
    assert shop.plan(excluded=("gold",)).digest != digest


def test_a_source_that_cannot_be_read_holds_its_segments_back(shop: Workshop) -> None:
    shop.write("vip.txt", "v@x.de\n")
    shop.declare(
        from_file("gold"), from_file("vip"), segment("extra", spec="members: [{segment: gold}]")
    )
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    assert "--hold" in caught.value.hint
    plan = shop.plan(hold=True)
    assert held(plan) == {"segment.gold": "missing-file", "segment.extra": "reads-held"}
    assert [change.address for change in plan.changes] == ["segment.vip"]


def test_a_segment_that_depends_on_a_held_one_through_another_is_held_too(shop: Workshop) -> None:
    others = (
        segment("half", spec="members: [{segment: gold}]\nguards: {maxRemovePercent: 100}"),
        segment("rest", spec="members: [{segment: half}]\nguards: {maxRemovePercent: 100}"),
    )
    lose_most(shop, *others)
    plan = shop.plan(targets=("gold", "rest", "vip"), hold=True)
    assert held(plan) == {"segment.gold": "max-remove-percent", "segment.rest": "reads-held"}
    assert [change.address for change in plan.changes] == ["segment.vip"]


def test_a_table_that_cannot_be_read_holds_all_its_segments_back(shop: Workshop) -> None:
    shop.declare(TABLE, segment("vip", "a@x.de"))
    plan = shop.plan(hold=True)
    assert set(held(plan)) == {"segment.low", "segment.high"}
    assert plan.held[0].place == "segments.yaml:5:11"


def test_a_suppression_list_that_cannot_be_read_holds_everything_back(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@x.de"), segment("vip", "b@x.de"))
    shop.apply()
    shop.project("{suppress: [{file: {path: optout.txt}}]}")
    shop.declare(segment("gold", "c@x.de"))
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    assert not caught.value.hint
    plan = shop.plan(hold=True)
    assert set(held(plan)) == {"segment.gold", "segment.vip"}
    assert plan.is_empty


def test_a_list_with_too_few_rows_holds_its_segments_back(shop: Workshop) -> None:
    shop.write("gold.txt", "a@x.de\n")
    shop.declare(
        segment("gold", spec="members: [{file: {path: gold.txt, minRows: 5}}]"),
        segment("vip", "a@x.de"),
    )
    assert held(shop.plan(hold=True)) == {"segment.gold": "min-rows"}


def test_a_limit_on_the_whole_plan_still_refuses_it(shop: Workshop) -> None:
    lose_most(shop, segment("old", "o@x.de"))
    shop.declare(segment("gold", *many(10)), segment("vip", "a@x.de", "b@x.de"))
    shop.project("{guards: {maxDestroys: 0}}")
    with pytest.raises(GuardRefused) as caught:
        shop.apply(hold=True)
    assert [finding.code for finding in caught.value.findings] == ["max-destroys"]
    assert "--hold" not in caught.value.hint


def test_a_protected_segment_is_not_destroyed_and_the_rest_goes(shop: Workshop) -> None:
    protected = segment("gold", "a@x.de", spec="lifecycle: {preventDestroy: true}")
    shop.declare(protected, segment("vip", "a@x.de"))
    shop.apply()
    shop.declare(segment("vip", "b@x.de"))
    assert held(shop.apply(hold=True).plan) == {"segment.gold": "prevent-destroy"}
    assert shop.service.everyone()["vip"] == identities("b@x.de")


def test_a_user_who_moves_to_another_segment_waits_if_a_rule_forbids_both(shop: Workshop) -> None:
    shop.write("segctl.yaml", DISJOINT)
    shop.declare(segment("gold", *many(100)), segment("vip", "v@x.de"), segment("new", "n@x.de"))
    shop.apply()
    shop.declare(
        segment("gold", *many(10)), segment("vip", "v@x.de", *many(5, first=90)), segment("new")
    )
    plan = shop.plan(hold=True)
    assert held(plan)["segment.gold"] == "max-remove-percent"
    assert held(plan)["segment.vip"] == "disjoint"


def test_a_rule_that_the_kept_members_do_not_break_holds_nothing_back(shop: Workshop) -> None:
    shop.write("segctl.yaml", DISJOINT)
    lose_most(shop)
    assert set(held(shop.apply(hold=True).plan)) == {"segment.gold"}
    assert shop.service.everyone()["vip"] == identities("a@x.de", "b@x.de")


def test_the_size_that_a_held_segment_keeps_refuses_nothing(shop: Workshop) -> None:
    lose_most(shop)
    shop.project("{rules: [{size: {segments: [gold, vip], max: 50}}]}")
    plan = shop.apply(hold=True).plan
    assert held(plan) == {"segment.gold": "max-remove-percent"}
    assert shop.service.everyone()["vip"] == identities("a@x.de", "b@x.de")
    assert shop.plan(hold=True).rules == ()


def test_what_may_be_a_rename_waits_for_its_other_half(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@x.de"), segment("vip", "b@x.de"))
    shop.apply()
    shop.declare(
        segment("golden", spec="members: [{file: {path: gone.txt}}]").replace(
            "The golden", "The gold"
        ),
        segment("vip", "c@x.de"),
    )
    assert held(shop.apply(hold=True).plan) == {
        "segment.golden": "missing-file",
        "segment.gold": "may-be-renamed",
    }
    assert shop.service.everyone()["gold"] == identities("a@x.de")


def test_segments_that_exchange_an_address_wait_for_each_other(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(100)), segment("vip", "b@x.de"))
    shop.apply()
    shop.declare(
        segment("vip", *many(10), spec="customerSegmentId: gold"),
        segment("gold", "b@x.de", spec="customerSegmentId: vip"),
    )
    assert held(shop.plan(hold=True)) == {
        "segment.vip": "max-remove-percent",
        "segment.gold": "exchanges-address",
    }


def test_a_block_of_a_held_segment_waits(shop: Workshop) -> None:
    shop.service.foreign("vip").members |= identities("v@x.de")
    shop.declare(segment("gold", *many(100)), segment("old", "o@x.de"), segment("extra", "e@x.de"))
    shop.apply()
    before = read_state(shop.context()).segments
    manifests = (
        from_file("vip"),
        imported("vip", "v@x.de"),
        segment("renamed", *many(10), spec="customerSegmentId: gold"),
        moved("gold", "renamed"),
        segment("extra", "f@x.de"),
    )
    shop.declare(*manifests)
    shop.project("{guards: {maxDestroys: 1}}")
    plan = shop.apply(hold=True).plan
    assert held(plan) == {
        "segment.vip": "missing-file",
        "segment.renamed": "max-remove-percent",
    }
    after = read_state(shop.context()).segments
    assert after.keys() == {"segment.gold", "segment.extra"}
    assert after["segment.gold"] == before["segment.gold"]
    shop.write("vip.txt", "v@x.de\n")
    shop.declare(
        *manifests[:2],
        segment("renamed", *many(90), spec="customerSegmentId: gold"),
        *manifests[3:],
    )
    shop.apply()
    shop.settled()


def test_rows_of_a_database_are_fetched_once_though_the_plan_is_built_twice(
    shop: Workshop,
) -> None:
    with closing(sqlite3.connect(shop.root / "crm.db")) as db:
        db.executescript("CREATE TABLE users (id TEXT); INSERT INTO users VALUES ('a@x.de');")
    table = "{path: crm.db, table: users, column: id}"
    shop.declare(
        segment("gold", *many(100)), segment("vip", spec=f"members: [{{sqlite: {table}}}]")
    )
    shop.apply()
    with closing(sqlite3.connect(shop.root / "crm.db")) as db:
        db.executescript("INSERT INTO users VALUES ('b@x.de');")
    shop.declare(
        segment("gold", *many(10)),
        segment("vip", spec=f"members: [{{sqlite: {table}}}]"),
        from_file("new"),
    )
    assert set(held(shop.apply(hold=True).plan)) == {"segment.gold", "segment.new"}
    assert shop.service.everyone()["vip"] == identities("a@x.de", "b@x.de")


# Saved and approved plans


def test_a_saved_plan_carries_what_is_held_back(shop: Workshop) -> None:
    lose_most(shop)
    file = shop.scratch / "held.segplan"
    saved = shop.plan(hold=True, out=file)
    applied = shop.apply(file=file)
    assert applied.plan.held == saved.held
    assert shop.service.everyone()["vip"] == identities("a@x.de", "b@x.de")
    prove_settings(replace(saved), load_desired(shop.context(), {}))


def test_a_held_segment_falls_away_from_an_approved_plan(shop: Workshop) -> None:
    shop.write("gold.txt", "a@x.de\n")
    shop.declare(from_file("gold"), segment("vip", "b@x.de"))
    digest = shop.keep()
    shop.remove("gold.txt")
    assert held(shop.apply(approved=digest, hold=True).plan) == {"segment.gold": "missing-file"}
    assert set(shop.service.everyone()) == {"vip"}
    shop.write("gold.txt", "a@x.de\n")
    shop.apply(approved=digest)
    assert shop.service.everyone()["gold"] == identities("a@x.de")


def test_what_an_approved_plan_held_back_was_not_approved(shop: Workshop) -> None:
    shop.declare(from_file("gold"), segment("vip", "b@x.de"))
    file = shop.scratch / "held.segplan"
    shop.plan(hold=True, out=file)
    shop.write("gold.txt", "a@x.de\n")
    assert held(shop.apply(approved=file).plan) == {"segment.gold": "missing-file"}
    assert set(shop.service.everyone()) == {"vip"}


def test_uncertain_changes_of_a_held_segment_stay_in_the_state(shop: Workshop) -> None:
    shop.write("gold.txt", "a@x.de\n")
    shop.declare(from_file("gold"), segment("vip", "b@x.de"))
    shop.service.faults = always(CUT_AFTER, call="update")
    with pytest.raises((OperationError, AppliedInPart)):
        shop.apply()
    shop.service.faults = no_faults
    shop.remove("gold.txt")
    shop.apply(hold=True)
    assert read_state(shop.context()).segments["segment.gold"].pairs.file
    shop.write("gold.txt", "a@x.de\n")
    assert shop.plan().reasserted == 1


# Advice


def follow(shop: Workshop, advice: str) -> tuple[str, str, int, str]:
    """Add the override that a message prints where it says. Return the place and the indent."""
    advised = re.search(r"in (\S+) \((.+):(\d+):(\d+)\).*\n  (allow: .*)", advice)
    assert advised
    path, file, line, column, yaml = advised.groups()
    lines = (shop.root / file).read_text().splitlines()
    assert lines[int(line) - 1][int(column) - 1 :].startswith(path.rpartition(".")[2])
    indent = " " * (int(column) + 1)
    lines.insert(int(line), indent + yaml.replace('"..."', "a new score"))
    shop.write(file, "\n".join(lines) + "\n")
    return path, file, int(line), indent


def test_the_advice_of_a_limit_on_the_plan_works_as_it_is_written(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@x.de"))
    shop.apply()
    shop.write("segctl.yaml", DISJOINT.replace("rules: [{disjoint: [gold, vip]}]", LIMITED))
    shop.declare()
    [finding] = shop.plan().error_findings
    follow(shop, finding.detail)
    assert not shop.plan().error_findings


@pytest.mark.parametrize("in_table", [False, True])
def test_the_advice_of_a_guard_works_as_it_is_written(shop: Workshop, *, in_table: bool) -> None:
    def declare(count: int) -> None:
        shop.write("rows.csv", "user,decile\n" + "".join(f"{m},low\n" for m in many(count)))
        shop.declare(TABLE.replace("deciles.csv", "rows.csv") if in_table else BLOCK)

    declare(100)
    shop.apply()
    declare(10)
    [finding] = shop.plan().error_findings
    path, file, line, indent = follow(shop, finding.detail)
    assert not shop.plan().error_findings
    setting = re.search(r"more than (\S+)\.guards\.maxRemovePercent", finding.summary)
    assert setting
    assert setting[1] == path
    lines = (shop.root / file).read_text().splitlines()
    lines[line] = f"{indent}guards: {{maxRemovePercent: 95}}"
    shop.write(file, "\n".join(lines) + "\n")
    assert not shop.plan().error_findings


def test_the_advice_on_a_protected_segment_names_its_fields(shop: Workshop) -> None:
    protected = TABLE.replace(
        "displayName: Low", "displayName: Low\n      lifecycle: {preventDestroy: true}"
    )
    shop.write("deciles.csv", "user,decile\na@x.de,low\n")
    shop.declare(protected)
    shop.apply()
    renamed = protected.replace(
        "displayName: Low", "displayName: Low\n      customerSegmentId: other"
    )
    shop.declare(renamed)
    [finding] = shop.plan().error_findings
    assert "in spec.segments.low (segments.yaml:8:5)" in finding.detail
    shop.declare(protected.replace("true", "false"))
    shop.apply()
    shop.declare(renamed.replace("true", "false"))
    assert not shop.plan().error_findings


# Databases and buckets that are down


def connection_segment(number: int, connection: str) -> str:
    table = f"{{connection: {connection}, table: t{number}, column: c}}"
    return segment(f"s{number}", spec=f"members: [{{postgres: {table}}}]")


def test_a_database_that_is_down_is_asked_once_and_reported_once(shop: Workshop) -> None:
    shop.project("{connections: {down: {env: DOWN_URL}, unset: {env: UNSET_URL}}}")
    shop.declare(
        *(connection_segment(number, "down") for number in range(5)),
        connection_segment(5, "unset"),
        segment("vip", "a@x.de"),
    )
    with hanging_up_server() as (port, accepted):
        shop.environment["DOWN_URL"] = f"postgresql://u:p@127.0.0.1:{port}/d"
        with pytest.raises(InvalidInput) as caught:
            shop.plan()
        plan = shop.plan(hold=True)
    assert len(accepted) == 2
    down, unset = caught.value.diagnostics
    assert (down.code, unset.code) == ("connection-failed", "connection-without-url")
    assert "5 sources need it: segments.yaml:6:13, " in down.detail
    assert down.detail.endswith("and 2 more.")
    assert len(plan.held_segments) == 6
    assert [change.address for change in plan.changes] == ["segment.vip"]


@contextmanager
def hanging_up_server() -> Iterator[tuple[int, list[object]]]:
    """Accept connections and close them at once; yields the port and what was accepted."""
    accepted: list[object] = []

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            accepted.append(self.client_address)

    with socketserver.TCPServer(("127.0.0.1", 0), HangUp) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], accepted
        finally:
            server.shutdown()
            thread.join()


def test_a_bucket_without_keys_that_count_is_asked_once(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(handler: Handler) -> None:
        asked.append(handler.path)
        handler.refuse(403, "InvalidAccessKeyId")

    names = [f"s3://segctl-members/m{number}/*.csv" for number in range(4)]
    shop.declare(
        *(
            segment(f"s{n}", spec=f"members: [{{file: {{path: '{name}', column: c}}}}]")
            for n, name in enumerate(names)
        )
    )
    with stubbed() as stub:
        stub.get = refuse
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InvalidInput) as caught:
            shop.plan()
    assert len(asked) == 1
    [problem] = caught.value.diagnostics
    assert problem.code == "access-denied"
    assert "4 sources need it" in problem.detail
