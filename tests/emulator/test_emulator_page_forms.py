"""The pages of settings, faults and requests in a browser: what they send and show."""

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.emulator.browser_kit import Site


def sent_bodies(site: "Site") -> list[Any]:
    """Return a list that grows with the JSON body of each PUT of the page."""
    bodies: list[Any] = []
    site.page.on(
        "request",
        lambda request: bodies.append(request.post_data_json) if request.method == "PUT" else None,
    )
    return bodies


def save(site: "Site") -> None:
    site.page.get_by_role("button", name="Save", exact=True).click()


def test_only_the_settings_that_the_user_changed_are_sent(site: "Site") -> None:
    bodies = sent_bodies(site)
    site.go("/settings")
    site.page.locator("#noop_changes").select_option(label="event")
    site.page.locator("#max_users").fill("50")
    expect(site.page.locator(".saved")).to_have_text("Not saved: max_users, noop_changes")
    save(site)
    expect(site.page.locator(".saved")).to_contain_text("Saved")
    assert bodies == [{"max_users": 50, "noop_changes": "event"}]
    expect(site.page.locator(".field.changed")).to_have_count(2)
    expect(site.page.get_by_role("button", name="Save", exact=True)).to_be_disabled()


def test_one_setting_or_all_go_back_to_their_defaults(site: "Site") -> None:
    site.call("PUT", "/emulator/v1/settings", {"noop_changes": "event", "latency_ms": 7})
    site.go("/settings")
    site.page.locator("#max_users").fill("50")
    site.page.get_by_role("button", name="Reset noop_changes").click()
    expect(site.page.locator(".field.changed")).to_have_count(1)
    expect(site.page.locator("#noop_changes")).to_have_value('"silent"')
    expect(site.page.locator(".saved")).to_have_text("Reset: noop_changes")
    expect(site.page.locator("#max_users")).to_have_value("50")
    site.page.get_by_role("button", name="Back to defaults").click()
    site.page.get_by_role("button", name="Yes").click()
    expect(site.page.locator(".field.changed")).to_have_count(0)


def test_a_change_of_another_client_appears_and_leaves_edits_alone(site: "Site") -> None:
    site.go("/settings")
    site.page.locator("#max_users").fill("50")
    site.call("PUT", "/emulator/v1/settings", {"max_lines": 7, "noop_changes": "event"})
    expect(site.page.locator("#max_lines")).to_have_value("7")
    expect(site.page.locator("#noop_changes")).to_have_value('"event"')
    expect(site.page.locator("#max_users")).to_have_value("50")
    site.page.get_by_role("button", name="Discard").click()
    expect(site.page.locator("#max_users")).to_have_value("100")
    expect(site.page.locator("#max_lines")).to_have_value("7")


def test_settings_are_searched_and_regions_are_chosen_by_account(site: "Site") -> None:
    site.go("/settings")
    site.page.get_by_label("Find a setting").fill("account_regions")
    expect(site.page.locator(".field:visible")).to_have_count(1)
    site.page.locator("#field-account_regions").get_by_label("EMULATOR").select_option("in1")
    save(site)
    expect(site.page.locator(".saved")).to_have_text("Saved: account_regions")
    regions = site.call("GET", "/emulator/v1/settings")["account_regions"]
    assert regions == {"EMULATOR": "in1"}
    site.page.get_by_label("Find a setting").fill("nothing like it")
    expect(site.page.get_by_text("No setting matches")).to_be_visible()


def test_a_refused_setting_is_named_with_the_reason(site: "Site") -> None:
    site.go("/settings")
    field = site.page.locator("#max_users")
    field.evaluate("field => { field.max = ''; }")
    field.fill("999999999")
    save(site)
    expect(site.page.locator(".saved")).to_contain_text("max_users: must be a whole number")
    expect(field).to_be_focused()
    site.take_refusals()


def test_all_data_can_be_deleted(site: "Site") -> None:
    site.create("Gold", "g")
    site.go("/settings")
    site.page.get_by_role("button", name="Empty everything").click()
    with site.page.expect_navigation():
        site.page.get_by_role("button", name="Yes").click()
    assert site.call("GET", "/emulator/v1/segments") == []


def test_an_example_becomes_rules_that_are_edited_and_saved(site: "Site") -> None:
    site.go("/faults")
    site.page.get_by_role("button", name="Busy service").click()
    rule = site.page.locator(".rule").nth(1)
    expect(rule.get_by_label("Status")).to_have_value("503")
    rule.get_by_label("Share").fill("29")
    rule.get_by_label("Is the change made").select_option("yes")
    expect(rule.get_by_label("Error Type")).to_be_hidden()
    with site.page.expect_navigation():
        save(site)
    expect(site.page.locator(".saved")).to_have_text("In force: 2 rules")
    busy, error = site.call("GET", "/emulator/v1/faults")["rules"]
    assert (busy["fault"], busy["share"]) == ("too_many_requests", 0.25)
    assert (error["status"], error["share"], error["committed"]) == (503, 0.29, True)
    with site.page.expect_navigation():
        site.page.get_by_role("button", name="End all faults").click()
    assert site.call("GET", "/emulator/v1/faults")["rules"] == []


def test_rules_are_added_and_removed_and_show_the_fields_of_their_fault(site: "Site") -> None:
    site.go("/faults")
    site.page.get_by_role("button", name="Add a rule").click()
    site.page.get_by_role("button", name="Add a rule").click()
    site.page.get_by_role("button", name="Remove this rule").first.click()
    rule = site.page.locator(".rule")
    rule.get_by_label("Fault").select_option("refuse_entries")
    expect(rule.get_by_label("Skip the first")).to_be_visible()
    rule.get_by_label("Error Type").select_option("API_SEGMENT_ID_MISMATCH")
    with site.page.expect_navigation():
        save(site)
    (saved,) = site.call("GET", "/emulator/v1/faults")["rules"]
    assert saved["error_type"] == "API_SEGMENT_ID_MISMATCH"


@pytest.mark.parametrize("segment", [1_800_000_000, "gold", "123", '"', "null", "", None])
def test_a_rule_of_another_writer_keeps_its_segment(site: "Site", segment: Any) -> None:
    rule = {"fault": "change_members", "segment": segment, "add": 3}
    site.call("PUT", "/emulator/v1/faults", {"rules": [rule]})
    site.go("/faults")
    with site.page.expect_navigation():
        save(site)
    (saved,) = site.call("GET", "/emulator/v1/faults")["rules"]
    assert (saved["segment"] or None, saved["add"]) == (segment or None, 3)


def test_a_plan_as_json_is_saved_or_refused_with_the_reason(site: "Site") -> None:
    site.go("/faults")
    site.page.get_by_text("The plan as JSON").click()
    site.page.get_by_role("textbox", name="Plan, as JSON").fill('{"rules": [{"fault": "x"}]}')
    site.page.get_by_role("button", name="Save JSON").click()
    expect(site.page.locator(".saved")).to_contain_text("rules[0].fault: must be one of")
    site.take_refusals()
    site.page.get_by_role("textbox", name="Plan, as JSON").fill(
        '{"rules": [{"fault": "cut_after"}]}'
    )
    with site.page.expect_navigation():
        site.page.get_by_role("button", name="Save JSON").click()
    expect(site.page.locator("#rules [name=fault]")).to_have_value("cut_after")


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_plan_of_another_client_appears_unless_edits_would_be_lost(
    site: "Site", *, is_edited: bool
) -> None:
    site.go("/faults")
    if is_edited:
        site.page.get_by_role("button", name="Add a rule").click()
    site.call("PUT", "/emulator/v1/faults", {"rules": [{"fault": "cut_before"}] * 3})
    if is_edited:
        expect(site.page.locator(".saved")).to_contain_text("has changed the plan")
    expect(site.page.locator(".rule")).to_have_count(1 if is_edited else 3)


def test_requests_appear_as_they_come_and_are_filtered(site: "Site") -> None:
    site.go("/requests")
    expect(site.page.locator("main")).to_contain_text("No request yet")
    site.create("Gold", "g")
    site.add("g", "a")
    expect(site.page.locator("#list tbody tr")).to_have_count(2)
    site.page.reload()
    site.page.get_by_label("Call All calls").select_option("updateSegment")
    site.page.get_by_role("button", name="Filter", exact=True).click()
    expect(site.page.locator("#list tbody tr")).to_have_count(1)
    expect(site.page.locator("#summary tbody tr")).to_have_count(2)
