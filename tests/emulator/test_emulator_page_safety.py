"""All pages in a browser: accessible, unharmed by any name, and live in ten tabs at once."""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from segctl.emulator.pages.rendering import SITE

if TYPE_CHECKING:
    from tests.emulator.browser_kit import Site

PLAIN = ("Gold Users", "Council")
HOSTILE = (
    "<script>document.title='ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    "\"><svg onload=document.title='ran'>",
    "' onmouseover='document.title=1' autofocus onfocus='document.title=1' x='",
    "</title></textarea></template></select><iframe src=javascript:parent.document.title=1>",
    "javascript:document.title='ran'",
    "{{ 7 * 7 }} {% raise %} ${7*7} #{7*7}",
    "a/../b?c=d&e=f#g%00%2f;h\\i",
    "--><!-- ]]> <!DOCTYPE x [<!ENTITY a 'b'>]>",
    "W" * 150,
    "\u202egnp.exe \u2066\u2067 \u200b\ufeff\x00\x1b[31m \n\t",
    "\U0001f468\u200d\U0001f469 e" + "\u0301" * 60,
)
"""Names that break pages: markup, attributes, schemes, templates, length, directions."""

HEADERS = [name for name in HOSTILE if name.isascii() and name.isprintable()]

DAMAGE = """() => {
  const found = [];
  for (const element of document.querySelectorAll('*')) {
    for (const { name, value } of element.attributes) {
      if (name.startsWith('on') || !/^[a-z-]+$/i.test(name)) found.push(`attribute ${name}`);
      const isAddress = ['href', 'src', 'action'].includes(name);
      if (isAddress && /^\\s*javascript:/i.test(value)) found.push(value);
    }
  }
  for (const element of document.querySelectorAll('main script, main img, iframe')) {
    found.push(element.outerHTML.slice(0, 100));
  }
  if (/^(ran|1)$/.test(document.title)) found.push('a script ran');
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  if (!document.querySelector('template#question')) found.push('the page is broken off');
  if (document.documentElement.scrollWidth > innerWidth) {
    found.push(`${document.documentElement.scrollWidth} px wide`);
  }
  return found;
}"""


def fill(site: "Site", names: tuple[str, ...]) -> list[str]:
    """Fill the emulator with these names in all fields; return the paths of its pages."""
    entries = [{"segment_name": name, "customer_segment_id": name} for name in names]
    created = site.call("POST", "/api/createSegment", entries)
    lines = [{"customer_segment_id": name, "action": "ADD"} for name in names]
    users = [{"identity": name} for name in (*names, "")]
    missing = [{"customer_segment_id": f"no {name}", "action": "ADD"} for name in names]
    bulk = [{"user_profiles": users, "segments": lines}]
    bulk += [{"user_profiles": [{"identity": "a"}], "segments": missing}]
    site.call("POST", "/api/updateSegment", {"bulk_profiles": bulk})
    site.call("DELETE", f"/emulator/v1/segments/{created[-1]['id']}")
    campaigns = [create_campaigns(site, name, created[0]["id"]) for name in names]
    rules: list[dict[str, Any]] = [{"fault": "server_error", "call": "upload"}]
    rules += [{"fault": "delete_segment", "segment": name, "times": 0} for name in names]
    site.call("PUT", "/emulator/v1/faults", {"rules": rules})
    return [
        *[path for path, _, _ in SITE],
        f"/segments/{created[0]['id']}",
        f"/segments/{created[-1]['id']}",
        f"/users?identity={quote(names[0])}",
        "/campaigns/new",
        *[f"/campaigns/{number}" for number in campaigns[0]],
        "/requests?status=1",
        "/nowhere",
    ]


def create_campaigns(site: "Site", name: str, segment: int) -> list[int]:
    """Create a campaign of each kind with this name in all fields; return their ids."""
    url = f"http://127.0.0.1:9/{quote(name)}"
    where = [{"name": "Segment Name", "operator": "does_not_contain", "value": [name, "x"]}]
    online = {"trigger": {"action": "ANY", "segment": segment, "where": where}}
    webhook = {"url": url, "secret": name, "key_values": {name: name}}
    documents: list[dict[str, Any]] = [
        {"kind": "offline", "channel": "email", "include": [segment]},
        {"kind": "online", "channel": "webhook", "webhook": webhook, **online},
        {"kind": "journey", "channel": "push", **online},
    ]
    path = "/emulator/v1/campaigns"
    return [
        site.call("POST", path, {"name": name, "when": "now", **each})["id"] for each in documents
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (375, "dark")])
@pytest.mark.parametrize("is_full", [False, True])
def test_no_page_has_a_violation_of_accessibility(
    site: "Site", width: int, scheme: Any, *, is_full: bool
) -> None:
    paths = fill(site, PLAIN) if is_full else [path for path, _, _ in SITE]
    site.page.set_viewport_size({"width": width, "height": 800})
    site.page.emulate_media(color_scheme=scheme)
    found = []
    for path in paths:
        site.page.goto(site.emulator.url + path)
        damage = site.violations() + site.page.evaluate(DAMAGE)
        found += [f"{path}: {each}" for each in damage]
    site.forgive_not_found()
    assert found == []


def test_no_name_harms_a_page(site: "Site") -> None:
    hostile = {"account_regions": dict.fromkeys(HEADERS, "x<b>"), "webhook_hosts": list(HOSTILE)}
    site.call("PUT", "/emulator/v1/settings", hostile)
    for name in HEADERS:
        site.call("POST", "/api/createSegment", [], 400, **{"User-Agent": name})
        site.call("GET", f"/api/{quote(name)}", None, 404)
    everything = quote("".join(HOSTILE))
    searches = [f"{path}{everything}" for path in ("/?q=", "/errors?user=", "/users?user=")]
    found = []
    for path in (*fill(site, HOSTILE), *searches):
        site.page.goto(site.emulator.url + path)
        for width in (1200, 375):
            site.page.set_viewport_size({"width": width, "height": 800})
            found += [f"{path} at {width}: {each}" for each in site.page.evaluate(DAMAGE)]
    site.go("/campaigns/new")
    for row in site.page.get_by_role("button", name="Include").all():
        row.click()
    assert site.page.locator(".chip").count() == len(HOSTILE) - 1
    found += site.page.evaluate(DAMAGE)
    site.forgive_not_found()
    assert found == []


def test_ten_tabs_at_once_show_the_final_figures(site: "Site") -> None:
    number = site.create("Gold", "g")
    paths = ["/", f"/segments/{number}", "/requests"] * 4
    tabs = [site.page, *[site.new_page() for _ in paths[1:10]]]
    for tab, path in zip(tabs, paths, strict=False):
        site.go(path, tab)
    for step in range(20):
        site.add("g", f"user-{step}")
    for tab, path in zip(tabs, paths, strict=False):
        tab.bring_to_front()
        name = "requests" if path == "/requests" else "members"
        figure = tab.locator(f"[data-figure={name}]")
        expect(figure.last).to_have_text("20")
        expect(tab.locator("#live")).to_have_text("live")
