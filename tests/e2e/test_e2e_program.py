"""The program as CI runs it: exit codes, locks, traces, interrupts."""

import hashlib
import json
import re
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from segctl.core.errors import AppliedInPart
from tests.e2e.outside_answers import BROKEN, Fault, always, failure, no_faults
from tests.e2e.outside_service import ACCOUNT, OutsideService
from tests.e2e.workshop import PATIENCE, Workshop, identities, many, segment, tree

NOBODY = {"CLEVERTAP_ACCOUNT_ID": "", "CLEVERTAP_PASSCODE": ""}


class Gate:
    """Holds the service at a stage of its n-th update until a test releases it."""

    def __init__(self, service: OutsideService, *, moment: str, number: int) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self._where = moment, "update", number
        service.at = self._stand

    def _stand(self, moment: str, call: str, number: int) -> None:
        if (moment, call, number) == self._where:
            self.reached.set()
            assert self.open.wait(PATIENCE)


def test_the_first_day_goes_from_init_to_no_changes(shop: Workshop) -> None:
    shop.remove("segctl.yaml")
    codes = [
        shop.run(*line.split()).code
        for line in (
            "init",
            "validate",
            "plan --detailed-exitcode",
            "apply --auto-approve",
            "plan --detailed-exitcode",
            "destroy --auto-approve",
            "apply --auto-approve",
        )
    ]
    assert codes == [0, 0, 2, 0, 0, 0, 0]
    assert len(shop.service.members("gold")) == 4
    shop.settled()


def test_a_plan_needs_no_credentials_and_leaves_no_trace(shop: Workshop) -> None:
    shop.write("m.csv", "identity\na\nb\n")
    shop.write("old.yaml", segment("old", "x"))
    shop.declare(segment("gold", spec="members: [{file: {path: m.csv}}]"))
    shop.service.faults = always(BROKEN, call="update")
    with pytest.raises(AppliedInPart):
        shop.apply()
    shop.remove("old.yaml")
    shop.write("m.csv", "identity\nb\nc\n")
    before, requests = tree(shop.root), dict(shop.service.requests)
    for form in ("text", "markdown", "json", "html"):
        assert shop.run("plan", "--format", form, **NOBODY).code == 0
    assert tree(shop.root) == before
    assert list(shop.scratch.iterdir()) == []
    assert shop.service.requests == requests


def kill_an_apply(shop: Workshop) -> None:
    """Kill an apply of 500 users when the service has its second request."""
    shop.declare(segment("gold", *many(500)))
    gate = Gate(shop.service, moment="applied", number=2)
    with shop.process("apply", "--auto-approve") as process:
        assert gate.reached.wait(PATIENCE)
        process.kill()
        process.communicate(timeout=PATIENCE)
    gate.open.set()


def test_a_plan_of_an_interrupted_apply_leaves_its_journal_alone(shop: Workshop) -> None:
    kill_an_apply(shop)
    before = tree(shop.root)
    ran = shop.run("plan", "--format", "json", **NOBODY)
    assert ran.code == 0
    assert json.loads(ran.out)["changes"][0]["members"]["reasserted"] >= 100
    assert tree(shop.root) == before


def as_version_1(journal: Path) -> None:
    """Rewrite a journal in its first format: two files of members, and a plan of format 3."""
    delta, batches = journal / "delta.parquet", journal / "batches.parquet"
    with duckdb.connect() as db:
        db.execute("SET preserve_insertion_order = true")
        db.execute(f"CREATE TABLE t AS FROM '{delta}'")
        db.execute(f"COPY (SELECT * EXCLUDE (entry) FROM t) TO '{delta}' (FORMAT parquet)")
        db.execute(
            "COPY (SELECT request, entry, list(kind) AS kinds, list(value) AS names, [0] AS "
            f"targets, ['ADD'] AS actions FROM t GROUP BY ALL) TO '{batches}' (FORMAT parquet)"
        )
    document = json.loads((journal / "header.json").read_bytes())
    document["version"] = 1
    document["header"]["plan"]["version"] = 3
    document["files"] = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (delta, batches)
    }
    (journal / "header.json").write_text(json.dumps(document))


def test_an_apply_that_an_older_segctl_began_is_finished(shop: Workshop) -> None:
    kill_an_apply(shop)
    as_version_1(shop.root / "segctl.state.d/journal/current")
    shop.died()
    done = shop.run("apply", "--auto-approve")
    assert done.code == 0, done.err
    shop.settled()
    assert not list((shop.root / "segctl.state.d").rglob("batches.parquet"))


def test_exactly_the_planned_requests_are_sent(shop: Workshop) -> None:
    shop.declare(*(segment(f"s{n}", *many(130, first=10 * n)) for n in range(12)))
    told = json.loads(shop.run("plan", "--format", "json").out)["requests"]
    assert shop.run("apply", "--auto-approve").code == 0
    assert shop.service.requests == {"create": told["create"], "update": told["update"]}
    assert told["floor"] <= told["update"] <= told["naive"]
    shop.settled()


def test_a_partly_applied_plan_continues_from_the_same_file(shop: Workshop, tmp_path: Path) -> None:
    file = str(tmp_path / "a.segplan")
    shop.declare(segment("gold", *many(700)), segment("rest", *many(10)))
    assert shop.run("plan", "--out", file).code == 0
    no = Fault(name="401", answer=failure(401, "no"))
    shop.service.faults = always(no, call="update", first=3)
    assert shop.run("apply", file).code == 3
    shop.service.faults = no_faults
    assert shop.run("apply", file).code == 0
    shop.settled()
    assert shop.service.everyone() == {
        "gold": identities(*many(700)),
        "rest": identities(*many(10)),
    }
    again = shop.run("apply", file)
    assert (again.code, "this plan was applied already" in again.err) == (4, True)


def test_another_plan_in_between_makes_a_saved_plan_stale(shop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "a.segplan"
    shop.write("m.txt", "a\n")
    shop.declare(segment("gold", spec="members: [{file: {path: m.txt}}]"))
    shop.plan(out=file)
    shop.write("m.txt", "a\nb\n")
    shop.apply()
    ran = shop.run("apply", str(file))
    assert ran.code == 4
    assert shop.service.members("gold") == identities("a", "b")


def test_a_state_of_one_account_or_host_is_refused_to_another(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    shop.apply()
    shop.declare(segment("gold", "a", "b"))
    requests = dict(shop.service.requests)
    account = shop.run("apply", "--auto-approve", CLEVERTAP_ACCOUNT_ID="ANOTHER")
    host = shop.run("plan", CLEVERTAP_BASE_URL="http://127.0.0.1:1")
    assert (account.code, host.code) == (1, 1)
    assert f"the state belongs to account {ACCOUNT}" in account.err
    assert "this run would go to 127.0.0.1:1" in host.err
    assert "only tried on the emulator, move segctl.state.json, segctl.state.d and " in host.err
    assert shop.service.requests == requests


def test_a_second_apply_is_refused_or_waits_for_the_lock(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(300)))
    gate = Gate(shop.service, moment="arrived", number=1)
    with shop.process("apply", "--auto-approve") as first:
        assert gate.reached.wait(PATIENCE)
        second = shop.run("apply", "--auto-approve")
        with shop.process("apply", "--auto-approve", "--lock-timeout", "50") as third:
            gate.open.set()
            _, err = third.communicate(timeout=PATIENCE)
        first.communicate(timeout=PATIENCE)
    assert (first.returncode, second.code, third.returncode) == (0, 5, 0), err
    assert "segctl apply" in second.err
    shop.settled()


def test_ctrl_c_finishes_requests_in_flight_and_the_next_apply_continues(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(2_000)))
    gate = Gate(shop.service, moment="arrived", number=5)
    with shop.process("apply", "--auto-approve") as process:
        assert gate.reached.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        for line in process.stderr:
            if "Stopping" in line:
                break
        gate.open.set()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    recorded = len(shop.service.members("gold"))
    assert 500 < recorded < 2_000
    plan = shop.plan()
    assert (plan.members_add, plan.reasserted) == (2_000 - recorded, 0)
    shop.apply()
    shop.settled()
    assert shop.service.members("gold") == identities(*many(2_000))


def test_ctrl_c_twice_exits_at_once_and_the_next_apply_recovers(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(1_000)))
    gate = Gate(shop.service, moment="applied", number=3)
    with shop.process("apply", "--auto-approve") as process:
        assert gate.reached.wait(PATIENCE)
        assert process.stderr
        process.send_signal(signal.SIGINT)
        for line in process.stderr:
            if "Stopping" in line:
                break
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
        gate.open.set()
    assert process.returncode == 130
    shop.apply()
    assert shop.plan().is_empty
    assert shop.service.members("gold") == identities(*many(1_000))


def test_output_in_ci_has_no_members_and_no_credentials(shop: Workshop) -> None:
    shop.declare(segment("gold", "somebody@example.com"))
    words = "somebody@example.com is no user; passcode made-up-passcode"
    shop.service.faults = always(Fault(name="400", answer=failure(400, words)), call="update")
    printed = [shop.run(*words) for words in (["plan"], ["apply", "--auto-approve"], ["plan"])]
    text = "".join(ran.out + ran.err for ran in printed)
    assert [ran.code for ran in printed] == [0, 3, 0]
    assert "somebody" not in text
    assert "made-up-passcode" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["apply"], "--auto-approve"),
        (["plan", "--format", "xml"], "xml"),
        (["apply", "missing.segplan"], "missing.segplan"),
    ],
)
def test_a_wrong_command_line_sends_nothing(
    shop: Workshop, arguments: list[str], message: str
) -> None:
    shop.declare(segment("gold", "a"))
    ran = shop.run(*arguments)
    assert ran.code in (1, 64)
    assert message in ran.err
    assert not re.search("Traceback", ran.err)
    assert not shop.service.requests
