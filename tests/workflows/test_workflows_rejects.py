"""From entries that the service skipped under a 200 to plans that tell the truth again."""

import shutil
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from segctl.core.disk import Disk
from segctl.core.errors import (
    AppliedInPart,
    InvalidInput,
    OperationError,
    StalePlan,
    WrongUsage,
)
from segctl.core.events import Recovered, StateNamed
from segctl.core.rejects import SEGMENT_NOT_FOUND
from segctl.core.stop_signal import StopSignal
from segctl.plan.model import Action
from segctl.session.context import Context
from segctl.workflows.apply import apply_workspace
from segctl.workflows.plan import plan_workspace
from segctl.workflows.rejects import load_rejects
from segctl.workflows.saved_plans import SavedPlanName
from tests.core.faulty_disk import FaultyDisk, PowerCut
from tests.workflows.rejects_kit import Shop

MISMATCH = "API_SEGMENT_ID_MISMATCH"
DAY = 86_400.0


def refuse(shop: Shop, *, share: float = 1.0, error_type: str = MISMATCH) -> None:
    rule = {
        "call": "updateSegment",
        "fault": "refuse_entries",
        "share": share,
        "error_type": error_type,
    }
    shop.request("PUT", "/emulator/v1/faults", {"seed": 1, "rules": [rule]})


def accept(shop: Shop) -> None:
    shop.request("PUT", "/emulator/v1/faults", {"rules": []})


def refused_add(shop: Shop) -> None:
    """Apply gold while every entry is skipped, and load what the dashboard shows."""
    refuse(shop)
    shop.apply()
    accept(shop)
    shop.load()


@pytest.mark.parametrize("form", ["csv", "json"])
def test_members_whose_add_was_skipped_leave_the_record(shop: Shop, form: str) -> None:
    refuse(shop, share=0.5)
    shop.apply()
    there = shop.members("GOLD")
    assert 0 < len(there) < 4
    serial = shop.state.serial
    loaded = shop.load(form=form)
    assert (loaded.rows, loaded.adds, loaded.unmatched) == (4 - len(there), 4 - len(there), 0)
    assert shop.recorded(shop.record("gold")) == there
    assert shop.record("gold").pairs.refused == 4 - len(there)
    assert shop.state.serial == serial + 1


def test_refused_members_stand_in_the_plan_and_are_not_sent(shop: Shop) -> None:
    refused_add(shop)
    plan = shop.plan()
    assert plan.is_empty
    assert plan.changes[0].members.quarantined == 4
    [finding] = plan.findings
    assert finding.summary == "segment.gold: 4 refused earlier, not retried"
    sent = shop.changes_sent()
    shop.apply()
    assert shop.changes_sent() == sent


def test_a_member_whose_remove_was_skipped_is_recorded_again(shop: Shop) -> None:
    shop.apply()
    shop.declare("gold", "a", "b", "c")
    refuse(shop)
    shop.apply()
    loaded = shop.load()
    assert (loaded.adds, loaded.removes) == (0, 1)
    assert shop.recorded(shop.record("gold")) == shop.members("GOLD") == {"a", "b", "c", "d"}
    assert shop.listed() == [("segment.gold", "REMOVE", "d")]
    assert shop.change("gold").members.quarantined == 1


def test_after_retry_the_next_apply_sends_what_was_refused(shop: Shop) -> None:
    refused_add(shop)
    retried = shop.retry()
    assert (retried.pairs, retried.segments, retried.found) == (4, 1, ())
    assert shop.change("gold").members.add == 4
    shop.apply()
    assert shop.members("GOLD") == {"a", "b", "c", "d"}
    assert shop.listed() == []


def test_retry_takes_only_what_is_picked(shop: Shop) -> None:
    refused_add(shop)
    with pytest.raises(WrongUsage, match="matches no recorded segment"):
        shop.retry("silver*")
    assert shop.retry(type_=SEGMENT_NOT_FOUND).pairs == 0
    assert shop.retry("gold", type_=MISMATCH.lower()).pairs == 4


def test_refused_members_are_sent_again_after_the_days_of_the_project(shop: Shop) -> None:
    shop.project("{rejects: {retryAfterDays: 7}}")
    refused_add(shop)
    shop.clock.ahead += 6.9 * DAY
    assert shop.plan().is_empty
    shop.clock.ahead += 0.2 * DAY
    assert shop.change("gold").members.add == 4
    assert shop.change("gold").members.quarantined == 0
    shop.apply()
    assert shop.members("GOLD") == {"a", "b", "c", "d"}
    assert shop.record("gold").pairs.refused == 0


def test_an_apply_that_saw_a_pair_gone_ends_its_quarantine(shop: Shop) -> None:
    refused_add(shop)
    shop.declare("gold", "e")
    shop.apply()
    assert shop.record("gold").pairs.refused == 0
    shop.declare("gold", "a", "b", "c", "d", "e")
    assert shop.change("gold").members.add == 4


def test_an_apply_without_requests_ends_quarantines_too(shop: Shop) -> None:
    refused_add(shop)
    shop.declare("gold", more="  labels: {team: growth}\n")
    manifest = (shop.root / "gold.yaml").read_text()
    manifest = manifest.replace("  labels: {team: growth}\n", "")
    manifest = manifest.replace("{name: gold}", "{name: gold, labels: {team: growth}}")
    (shop.root / "gold.yaml").write_text(manifest)
    assert shop.apply().ended is None
    assert shop.record("gold").pairs.refused == 0


def test_a_pair_that_came_back_without_an_apply_in_between_stays_quarantined(shop: Shop) -> None:
    refused_add(shop)
    shop.declare("gold")
    assert shop.plan().is_empty
    shop.apply()
    shop.declare("gold", "a", "b", "c", "d")
    assert shop.change("gold").members.quarantined == 4


def test_loading_the_same_stream_again_changes_nothing(shop: Shop) -> None:
    refused_add(shop)
    before = shop.state
    again = shop.load()
    assert (again.adds, again.known) == (4, 4)
    assert shop.state == before


def test_an_old_reject_does_not_undo_what_was_accepted_since(shop: Shop) -> None:
    refused_add(shop)
    shop.clock.ahead += DAY
    shop.retry()
    shop.apply()
    loaded = shop.load()
    assert (loaded.adds, loaded.older) == (0, 4)
    assert shop.recorded(shop.record("gold")) == {"a", "b", "c", "d"}


def test_rejects_of_others_are_reported_and_left_alone(shop: Shop) -> None:
    shop.apply()
    before = shop.state
    loaded = shop.load(
        "type\tSegment ID\tCustomer Segment ID\tUser Identity\tAccount\n"
        f"{MISMATCH}\t\tGOLD\tstranger\t\n"
        f"{MISMATCH}\t\tOTHER\ta\t\n"
        f"{MISMATCH}\t999\tGOLD\ta\t\n"
        f"{MISMATCH}\t\tGOLD\ta\tANOTHER-ACCOUNT\n"
        "API_SEGMENT_NO_SEGMENT_ID\t\t\ta\t\n"
        "API_SEGMENT_EMPTY_IDENTITY\t\tGOLD\t\t\n"
    )
    assert (loaded.rows, loaded.unmatched) == (6, 6)
    assert shop.state == before


def test_a_segment_is_found_by_either_of_its_ids(shop: Shop) -> None:
    shop.apply()
    number = shop.segment_id("GOLD")
    loaded = shop.load(f"segment_id,customer_segment_id,identity\n{number},,a\n{number},GOLD,b\n")
    assert loaded.adds == 2
    assert shop.recorded(shop.record("gold")) == {"c", "d"}


def test_the_last_action_is_known_from_earlier_applies(shop: Shop) -> None:
    shop.apply()
    shop.declare("gold", "a", "b", "c")
    shop.apply()
    shop.declare("gold", "a", "b", "c", "e")
    shop.apply()
    loaded = shop.load("customer_segment_id,identity\nGOLD,d\nGOLD,e\nGOLD,a\n")
    assert (loaded.adds, loaded.removes) == (2, 1)
    assert shop.recorded(shop.record("gold")) == {"b", "c", "d"}


def test_an_interrupted_apply_is_taken_in_before_rejects_are_matched(shop: Shop) -> None:
    class Gone(BaseException):
        """The end of the process."""

    class Cut(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("updateSegment"):
                raise Gone
            return await httpx.ASGITransport(app=shop.app).handle_async_request(request)

    context = Context(**{**vars(shop.context), "transport": Cut()})
    with pytest.raises((Gone, BaseExceptionGroup)):
        apply_workspace(context, variables={}, approve=lambda _: True, stop=StopSignal())
    told: list[object] = []
    file = shop.root.parent / "stream.csv"
    file.write_text("customer_segment_id,identity\nGOLD,a\n")
    loaded = load_rejects(shop.context, file, observe=told.append)
    assert [type(event) for event in told] == [Recovered, StateNamed]
    assert loaded.adds == 1
    pairs = shop.record("gold").pairs
    assert (pairs.uncertain, pairs.refused) == (3, 1)


# A segment deleted in the dashboard


def deleted(shop: Shop) -> None:
    shop.apply()
    shop.delete("GOLD")
    shop.declare("gold", "a", "b", "c", "d", "e")
    shop.apply()
    loaded = shop.load()
    assert (loaded.adds, loaded.missing) == (1, ("segment.gold",))


def test_nothing_is_sent_to_a_deleted_segment_and_the_plan_says_what_to_do(shop: Shop) -> None:
    deleted(shop)
    shop.declare("gold", "x", "y")
    plan = shop.plan()
    assert plan.is_empty
    [finding] = plan.findings
    assert (finding.severity, finding.code) == ("warning", "missing")
    assert finding.summary == (
        "segment.gold: CleverTap does not find GOLD, or it was deleted there; nothing is sent to it"
    )
    assert "`segctl rejects retry --target gold`" in finding.detail
    assert "new customerSegmentId" in finding.detail


def test_a_deleted_segment_holds_up_no_other(shop: Shop) -> None:
    deleted(shop)
    shop.declare("silver", "a")
    shop.apply()
    assert shop.members("SILVER") == {"a"}
    assert shop.record("gold").missing


def test_a_new_id_replaces_a_deleted_segment_with_all_its_members(shop: Shop) -> None:
    deleted(shop)
    shop.declare("gold", "a", "b", key="GOLD-2")
    change = shop.change("gold")
    assert (change.action, change.members.add, change.members.remove) == (Action.REPLACE, 2, 0)
    shop.apply()
    assert shop.members("GOLD-2") == {"a", "b"}
    assert not shop.record("gold").missing
    assert shop.state.tombstones[0].record.missing
    assert shop.plan().is_empty
    assert shop.codes() == set()


def test_a_deleted_segment_without_a_manifest_is_destroyed_without_a_request(shop: Shop) -> None:
    deleted(shop)
    shop.undeclare("gold")
    sent = shop.changes_sent()
    assert shop.change("gold").members.remove == 0
    assert shop.codes() == set()
    assert shop.apply().ended is None
    assert shop.changes_sent() == sent
    assert shop.plan().is_empty
    shop.declare("gold", "a")
    assert shop.change("gold").action is Action.ADOPT
    assert shop.codes() == {"missing"}


def test_retry_takes_a_missing_segment_for_restored(shop: Shop) -> None:
    deleted(shop)
    retried = shop.retry("gold")
    assert (retried.found, retried.pairs) == (("segment.gold",), 1)
    assert shop.change("gold").members.add == 1
    assert not shop.record("gold").missing


def test_retry_for_another_reason_leaves_a_segment_missing(shop: Shop) -> None:
    deleted(shop)
    assert shop.retry(type_=MISMATCH).found == ()
    assert shop.record("gold").missing


def test_what_cannot_be_removed_from_a_destroyed_segment_is_no_change_for_ever(shop: Shop) -> None:
    shop.apply()
    shop.undeclare("gold")
    refuse(shop)
    shop.apply()
    shop.load()
    assert shop.plan().is_empty
    assert shop.codes() == {"quarantined"}
    accept(shop)
    shop.retry()
    shop.apply()
    assert shop.members("GOLD") == set()


# What cannot be done


def test_a_plan_saved_before_is_stale(shop: Shop) -> None:
    shop.apply()
    shop.declare("gold", "a", "b", "c", "d", "e")
    file = shop.root.parent / "saved.plan"
    plan_workspace(shop.context, variables={}, out=file)
    shop.load("customer_segment_id,identity\nGOLD,a\n")
    with pytest.raises(StalePlan, match="serial"):
        apply_workspace(
            shop.context,
            saved=SavedPlanName(text=file.name, file=file),
            variables={},
            approve=lambda _: True,
            stop=StopSignal(),
        )


def test_a_plan_applied_in_part_cannot_go_on_over_rejects(shop: Shop) -> None:
    rule = {"call": "updateSegment", "fault": "server_error", "share": 1.0, "times": 100}
    shop.apply()
    shop.declare("gold", "a", "b", "c", "d", "e")
    shop.request("PUT", "/emulator/v1/faults", {"rules": [rule]})
    with pytest.raises(AppliedInPart):
        shop.apply()
    assert shop.state.unfinished
    shop.load("customer_segment_id,identity\nGOLD,a\n")
    assert shop.state.unfinished is None


def test_nothing_is_changed_by_a_stream_that_cannot_be_used(shop: Shop) -> None:
    shop.apply()
    before = shop.state
    with pytest.raises(InvalidInput):
        shop.load("customer_segment_id,identity\nGOLD,a\nGOLD,\n")
    assert shop.state == before


def test_a_folder_that_never_applied_has_no_rejects(shop: Shop) -> None:
    with pytest.raises(OperationError, match="nothing was ever sent from this workspace"):
        shop.load("customer_segment_id,identity\nGOLD,a\n")
    assert not (shop.root / "segctl.state.d").exists()
    assert shop.listed() == []


def test_a_file_that_is_not_there_is_named(shop: Shop) -> None:
    with pytest.raises(OperationError, match=r"cannot read .*nowhere\.csv: No such file"):
        load_rejects(shop.context, shop.root / "nowhere.csv")


def test_a_crash_at_every_third_step_of_a_load_leaves_the_old_state_or_the_new(
    shop: Shop, tmp_path: Path
) -> None:
    shop.apply()
    stream = "customer_segment_id,identity\nGOLD,a\nGOLD,b\n"
    kept = shutil.copytree(shop.root, tmp_path / "kept")
    spare = tmp_path / "spare"
    for at in range(1, 200, 3):
        shutil.rmtree(shop.root)
        shutil.copytree(kept, shop.root)
        shutil.rmtree(spare, ignore_errors=True)
        spare.mkdir()
        shop.disk = FaultyDisk(spare, at=at, loss="both")
        with suppress(PowerCut):
            assert shop.load(stream).adds == 2
            assert at > 10
            return
        shop.disk = Disk()
        assert shop.record("gold").pairs.refused in (0, 2)
        assert shop.load(stream).adds == 2
        assert shop.recorded(shop.record("gold")) == {"c", "d"}
    raise AssertionError("the load never ends")
