"""A saved plan whose parts do not fit each other is neither shown nor applied."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from segctl.core.codec import from_plain, to_plain
from segctl.emulator.testing import RunningEmulator
from segctl.engine.duckdb import DuckEngine
from segctl.plan.diff import attribute_changes
from segctl.plan.file import LoadedPlan
from segctl.plan.model import Attributes, Plan
from segctl.planning.digest import plan_digest
from segctl.planning.proof import _files_of
from tests.cli.conftest import Segctl

Document = dict[str, Any]


def rewrite(
    plan: Path,
    *,
    document: Callable[[Document], None] = lambda _: None,
    delta: str = "",
    imported: str = "",
) -> None:
    """Change parts of a plan file. The SQL reads the old rows from ``t``; hashes are right."""
    with zipfile.ZipFile(plan) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    content = json.loads(parts["plan.json"])
    document(content["plan"])
    parts["plan.json"] = json.dumps(content).encode()
    changed = {"delta.parquet": delta, "imported-0.parquet": imported}
    for name, sql in changed.items():
        if sql:
            file = plan.with_name(name)
            file.write_bytes(parts[name])
            with duckdb.connect() as db:
                db.execute("SET preserve_insertion_order = true")
                db.execute(f"CREATE TABLE t AS FROM read_parquet('{file}')")
                db.execute(f"COPY ({sql}) TO '{file}' (FORMAT parquet)")
            parts[name] = file.read_bytes()
            file.unlink()
    manifest = json.loads(parts["manifest.json"])
    manifest["files"] = {n: hashlib.sha256(parts[n]).hexdigest() for n in manifest["files"]}
    parts["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(plan, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def read_document(plan: Path) -> Document:
    """Return the document of a plan file."""
    with zipfile.ZipFile(plan) as archive:
        content = json.loads(archive.read("plan.json"))
    return dict(content["plan"])


def forge(plan: Path, change: Callable[[Document], None]) -> None:
    """Change the document of a plan file, and give it the digest of its content."""
    folder = plan.with_name("forged")
    folder.mkdir()
    with zipfile.ZipFile(plan) as archive:
        archive.extractall(folder)
    document = read_document(plan)
    change(document)
    forged = LoadedPlan(
        plan=from_plain(Plan, document),
        delta=folder / "delta.parquet",
    )
    engine = DuckEngine(folder)
    facts = engine.prove_saved_plan(_files_of(forged))
    engine.close()
    document["digest"] = plan_digest(forged.plan, str(facts.digest))

    def replace_all(old: Document) -> None:
        old.clear()
        old.update(document)

    rewrite(plan, document=replace_all)


def first_change(change: Callable[[Document], None]) -> Callable[[Document], None]:
    return lambda plan: change(plan["changes"][0])


def first_target(change: Callable[[Document], None]) -> Callable[[Document], None]:
    return lambda plan: change(plan["targets"][0])


FREEZE: Document = {"begins_at": None, "ends_at": None, "days": [], "hours": "", "reason": ""}
FORGERIES: dict[str, dict[str, Any]] = {
    "other users": {"delta": "SELECT * REPLACE (value || 'x' AS value) FROM t"},
    "an unknown action": {"delta": "SELECT * REPLACE ('ZAP' AS action) FROM t"},
    "removals in place of additions": {"delta": "SELECT * REPLACE ('REMOVE' AS action) FROM t"},
    "500 users in an entry": {
        "delta": "SELECT * REPLACE ('u' || i AS value) FROM (FROM t LIMIT 1), range(500) AS r(i)",
    },
    "rows doubled": {"delta": "FROM t UNION ALL FROM t"},
    "rows dropped": {"delta": "FROM t LIMIT 1"},
    "all rows dropped": {"delta": "FROM t LIMIT 0"},
    "an entry that is NULL": {"delta": "SELECT * REPLACE (NULL::INTEGER AS entry) FROM t"},
    "no entry": {"delta": "SELECT * REPLACE (-1 AS entry) FROM t"},
    "one entry of everything": {"delta": "SELECT * REPLACE (0 AS entry) FROM t"},
    "rows in another order": {"delta": "FROM t ORDER BY entry DESC"},
    "target out of range": {"delta": "SELECT * REPLACE (99::INTEGER AS target) FROM t"},
    "requests out of range": {"delta": "SELECT * REPLACE (7::INTEGER AS request) FROM t"},
    "a user that is NULL": {"delta": "SELECT * REPLACE (NULL::VARCHAR AS value) FROM t"},
    "other columns": {"delta": "SELECT request, target, action, kind, value FROM t"},
    "other types": {"delta": "SELECT * REPLACE (request::BIGINT AS request) FROM t"},
    "fewer members shown": {"document": first_change(lambda c: c["members"].update(add=0))},
    "other size shown": {"document": first_change(lambda c: c["members"].update(after=99))},
    "other examples shown": {
        "document": first_change(lambda c: c["sample"].update(add=[["identity", "mallory"]]))
    },
    "other display name": {"document": first_target(lambda t: t.update(display_name="Other"))},
    "other id": {"document": first_target(lambda t: t.update(customer_segment_id="OTHER"))},
    "fewer requests shown": {"document": lambda p: p["requests"].update(update=0)},
    "fewer events shown": {"document": lambda p: p["estimate"].update(billable_events=0)},
    "other digest": {"document": lambda p: p.update(digest="sha256:" + "0" * 64)},
    "a create left out": {"document": first_target(lambda t: t.update(create=False))},
    "a change left out": {"document": lambda p: p["changes"].pop()},
    "a target twice": {"document": lambda p: p["targets"].append(p["targets"][0])},
    "other account": {"document": lambda p: p.update(account="EVIL")},
    "settled at once": {"document": lambda p: p.update(settle_from=0, settled_at=0.0)},
    "no requests at once": {"document": lambda p: p.update(concurrency=0)},
    "a time that is none": {"document": lambda p: p.update(made_at=1e30)},
    "an unknown time zone": {"document": lambda p: p.update(time_zone="Moon/Base")},
    "hours that are none": {
        "document": lambda p: p.update(freezes=[{**FREEZE, "hours": "25:99-99:00"}])
    },
    "a freeze beyond all time": {
        "document": lambda p: p.update(freezes=[{**FREEZE, "begins_at": 0.0, "ends_at": 3.8e11}])
    },
    "a rule that holds": {"document": lambda p: p.update(rules=["0" * 64])},
    "attributes that change": {
        "document": first_change(
            lambda c: c.update(attributes=[{"path": "managed", "before": True, "after": False}])
        )
    },
}


@pytest.fixture
def plan(workspace: Path, segctl: Segctl, emulator: RunningEmulator) -> Path:
    assert emulator.url
    assert segctl("plan", "--out", "a.segplan").code == 0
    return workspace / "a.segplan"


def test_a_plan_that_was_not_changed_proves(plan: Path, segctl: Segctl) -> None:
    rewrite(plan, delta="FROM t")
    assert segctl("show", "a.segplan").code == 0
    assert segctl("apply", "a.segplan").code == 0


def test_a_plan_that_was_applied_already_is_reported_so(plan: Path, segctl: Segctl) -> None:
    assert segctl("apply", plan.name).code == 0
    done = segctl("apply", plan.name)
    assert done.code == 4
    assert "this plan was applied already; the state is at serial 1 since" in done.err


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_plan_is_refused_before_anything_is_sent(
    forgery: dict[str, Any], plan: Path, workspace: Path, segctl: Segctl
) -> None:
    rewrite(plan, **forgery)
    shown, applied = segctl("show", "a.segplan"), segctl("apply", "a.segplan")
    assert (shown.code, shown.out) == (1, "")
    assert applied.code in (1, 4)
    assert "plan" in applied.err
    assert not (workspace / "segctl.state.json").exists()


def test_a_refusal_cannot_be_taken_out_of_a_plan(
    plan: Path, workspace: Path, segctl: Segctl
) -> None:
    assert segctl("apply", plan.name).code == 0
    manifest = workspace / "gold.yaml"
    head = manifest.read_text(encoding="utf-8").split("  members:")[0]
    manifest.write_text(f"{head}  members: []\n", encoding="utf-8")
    assert segctl("plan", "--out", "a.segplan").code == 6
    rewrite(plan, document=lambda p: p.update(findings=[]))
    done = segctl("apply", "a.segplan")
    assert done.code == 1
    assert "the parts of the saved plan do not fit: its digest" in done.err


PASTS: dict[str, Callable[[Document], None]] = {
    "more members before": lambda c: c["members"].update(before=1000, after=999),
    "another name before": lambda c: c["before"].update(display_name="Other"),
    "protected no longer": lambda c: c["before"]["lifecycle"].update(prevent_destroy=True),
}


@pytest.mark.parametrize("past", PASTS.values(), ids=PASTS)
def test_a_plan_has_no_other_past_than_the_state(
    past: Callable[[Document], None], plan: Path, workspace: Path, segctl: Segctl
) -> None:
    assert segctl("apply", plan.name).code == 0
    manifest = workspace / "gold.yaml"
    text = manifest.read_text(encoding="utf-8").replace("anna@example.com, ", "")
    manifest.write_text(text, encoding="utf-8")
    assert segctl("plan", "--out", plan.name).code == 0

    def change(document: Document) -> None:
        [gold] = [c for c in document["changes"] if c["address"] == "segment.gold"]
        past(gold)
        changed = attribute_changes(
            from_plain(Attributes, gold["before"]), from_plain(Attributes, gold["after"])
        )
        gold["attributes"] = to_plain(list(changed))

    forge(plan, change)
    done = segctl("apply", plan.name)
    assert (done.code, done.out) == (1, "")
    assert "other figures of the past than the state" in done.err


def one_more(document: Document) -> None:
    members = document["changes"][1]["members"]
    members.update(after=members["before"] + 1)


def sent_again(document: Document) -> None:
    gold = document["changes"][1]
    gold["members"].update(add=0, remove=0, reasserted=2)
    gold["sample"].update(add=[], remove=[])
    document["estimate"].update(billable_events=0)


STARTS: dict[str, tuple[str, Callable[[Document], None]]] = {
    "a removal of nobody": ("false AS recorded", one_more),
    "an addition and a removal of nobody": ("NOT recorded AS recorded", lambda _: None),
    "changes without an answer": ("true AS reasserted", sent_again),
}


@pytest.mark.parametrize(("delta", "change"), STARTS.values(), ids=STARTS)
def test_the_changes_of_a_plan_start_from_the_recorded_members(
    delta: str, change: Callable[[Document], None], plan: Path, workspace: Path, segctl: Segctl
) -> None:
    assert segctl("apply", plan.name).code == 0
    manifest = workspace / "gold.yaml"
    text = manifest.read_text(encoding="utf-8").replace("anna", "zoe")
    manifest.write_text(text, encoding="utf-8")
    assert segctl("plan", "--out", plan.name).code == 0
    head = (workspace / "segctl.state.json").read_bytes()
    rewrite(plan, delta=f"SELECT * REPLACE ({delta}) FROM t")
    assert read_document(plan)["changes"][1]["address"] == "segment.gold"
    forge(plan, change)
    done = segctl("apply", plan.name)
    assert (done.code, done.out) == (1, "")
    assert "its changes do not start from the recorded members" in done.err
    assert (workspace / "segctl.state.json").read_bytes() == head


def test_a_plan_with_two_changes_at_one_address_proves(
    plan: Path, workspace: Path, segctl: Segctl
) -> None:
    """A segment moves to the address of one that is destroyed."""
    manifest = workspace / "gold.yaml"
    text = manifest.read_text(encoding="utf-8")
    vip = text.split("---")[0].replace("gold", "vip").replace("Gold", "VIP")
    manifest.write_text(f"{text}---\n{vip.replace('SEG-GOLD', 'SEG-VIP')}", encoding="utf-8")
    assert segctl("apply", "--auto-approve").code == 0
    manifest.write_text(text.replace("SEG-GOLD", "SEG-VIP"), encoding="utf-8")
    assert segctl("plan", "--out", plan.name).code == 0
    shown = segctl("show", plan.name)
    assert shown.code == 0
    assert "segment.gold will be destroyed" in shown.out
    assert "it was segment.vip" in shown.out
    assert segctl("apply", plan.name).code == 0


FLOW = {"leaves": "segment.gold", "joins": "segment.silver", "users": 1}
FLOWS = {
    "more users": [{**FLOW, "users": 2}],
    "the other way": [{**FLOW, "leaves": "segment.silver", "joins": "segment.gold"}],
    "one more": [FLOW, {**FLOW, "joins": "segment.council"}],
    "none": [],
    "not counted": None,
}


@pytest.mark.parametrize("flows", FLOWS.values(), ids=FLOWS)
def test_a_plan_shows_no_other_flows_than_it_sends(
    flows: object, plan: Path, workspace: Path, segctl: Segctl
) -> None:
    assert segctl("apply", plan.name).code == 0
    manifest = workspace / "gold.yaml"
    text = manifest.read_text(encoding="utf-8").replace("anna@example.com, ", "")
    silver = text.split("---")[0].replace("gold", "silver").replace("bert", "anna")
    silver = silver.replace("SEG-GOLD", "SEG-SILVER").replace("Gold Users", "Silver Users")
    manifest.write_text(f"{text}---\n{silver}", encoding="utf-8")
    assert segctl("plan", "--out", plan.name).code == 0
    assert json.loads(segctl("show", plan.name, "--format", "json").out)["flows"] == [FLOW]
    rewrite(plan, document=lambda p: p.update(flows=flows))
    done = segctl("show", plan.name)
    assert (done.code, done.out) == (1, "")
    assert "the parts of the saved plan do not fit: it shows other moves" in done.err


def test_an_override_cannot_be_added_to_a_plan(plan: Path, workspace: Path, segctl: Segctl) -> None:
    assert segctl("apply", plan.name).code == 0
    manifest = workspace / "gold.yaml"
    head = manifest.read_text(encoding="utf-8").split("  members:")[0]
    manifest.write_text(f"{head}  members: []\n", encoding="utf-8")
    assert segctl("plan", "--out", "a.segplan").code == 6

    def allow(document: Document) -> None:
        [change] = [c for c in document["changes"] if c["address"] == "segment.gold"]
        change["after"]["allow"] = {
            "until": "2099-01-01", "expires_at": 4e9, "reason": "mine", "empty": True
        }  # fmt: skip
        document["findings"] = [
            {**f, "severity": "warning", "code": "override-used"}
            for f in document["findings"]
            if f["code"] == "allow-empty"
        ]

    forge(plan, allow)
    done = segctl("apply", "a.segplan")
    assert done.code == 1
    assert "other limits or attributes than the manifests" in done.err


def test_a_freeze_cannot_be_taken_out_of_a_plan(
    plan: Path, workspace: Path, segctl: Segctl
) -> None:
    project = workspace / "segctl.yaml"
    everyday = "{changeFreeze: [{daily: 00:00-12:00}, {daily: 12:00-24:00}]}"
    project.write_text(f"{project.read_text()}spec: {everyday}\n", encoding="utf-8")
    assert segctl("plan", "--out", "a.segplan").code == 0
    assert segctl("apply", "a.segplan").code == 6
    unwarned = [f for f in read_document(plan)["findings"] if f["code"] != "change-freeze"]
    rewrite(plan, document=lambda p: p.update(findings=unwarned))
    done = segctl("show", "a.segplan")
    assert "the finding change-freeze is missing" in done.err
    forge(plan, lambda p: p.pop("freezes"))
    assert segctl("apply", "a.segplan").code == 1


IMPORT = """
---
apiVersion: segctl/v1
kind: Refactoring
spec:
  import:
    - address: segment.council
      members: [{guids: [abcde12345, old]}]
"""
IMPORT_FORGERIES: dict[str, dict[str, Any]] = {
    "other members": {"imported": "SELECT kind, value || 'x' AS value FROM t"},
    "members doubled": {"imported": "FROM t UNION ALL FROM t"},
    "other columns": {"imported": "SELECT value FROM t"},
    "members dropped": {"imported": "FROM t LIMIT 0"},
    "none imported": {"document": first_change(lambda c: c.update(imported=None))},
    "other count": {"document": first_change(lambda c: c["members"].update(before=7, after=6))},
    "created": {"document": first_change(lambda c: c.update(action="create"))},
    "moved": {"document": first_change(lambda c: c.update(moved_from="segment.other"))},
    "moved from itself": {"document": first_change(lambda c: c.update(moved_from=c["address"]))},
    "not recorded": {"delta": "SELECT * REPLACE (false AS recorded) FROM t"},
}


@pytest.fixture
def importing(workspace: Path, segctl: Segctl, emulator: RunningEmulator) -> Path:
    assert emulator.url
    manifest = workspace / "gold.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + IMPORT, encoding="utf-8")
    assert segctl("plan", "--target", "council", "--out", "a.segplan").code == 0
    return workspace / "a.segplan"


def test_a_plan_with_an_import_proves(importing: Path, segctl: Segctl) -> None:
    rewrite(importing, imported="FROM t", document=lambda _: None)
    shown = segctl("show", "a.segplan")
    assert shown.code == 0
    assert "2 → 1 member, −1" in shown.out
    assert "imported by gold.yaml:23:7" in shown.out


@pytest.mark.parametrize("forgery", IMPORT_FORGERIES.values(), ids=IMPORT_FORGERIES)
def test_a_forged_import_is_refused(
    forgery: dict[str, Any], importing: Path, workspace: Path, segctl: Segctl
) -> None:
    rewrite(importing, **forgery)
    shown, applied = segctl("show", "a.segplan"), segctl("apply", "a.segplan")
    assert (shown.code, shown.out, applied.code) == (1, "", 1)
    assert not (workspace / "segctl.state.json").exists()
