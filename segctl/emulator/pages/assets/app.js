// What the pages do beyond showing: figures that follow, filters, forms that speak JSON.
"use strict";

const account = document.querySelector("main").dataset.account || "";
const inAccount = account ? `?account=${encodeURIComponent(account)}` : "";
const numbers = new Intl.NumberFormat("en-US");
const ROWS = 100;

function put(place, value) {
  const text = numbers.format(value);
  if (!place || place.textContent === text) return;
  place.textContent = text;
  place.classList.remove("fresh");
  void place.offsetWidth;
  place.classList.add("fresh");
}

function showFigures({ segments, stats }) {
  const requests = Object.values(stats.requests.updateSegment || {});
  const figures = { ...stats, updates: requests.reduce((sum, each) => sum + each, 0) };
  for (const place of document.querySelectorAll("[data-figure]")) {
    put(place, figures[place.dataset.figure] ?? 0);
  }
  for (const segment of segments) {
    const home = document.querySelector(`[data-segment="${segment.ct_segment_id}"]`);
    if (!home) continue;
    if (segment.deleted && !home.classList.contains("deleted")) {
      location.reload();
      return;
    }
    const counts = { members: segment.members, ...segment.reachable, reachable: segment.reachable.any };
    for (const place of home.querySelectorAll("[data-count]")) put(place, counts[place.dataset.count]);
    for (const meter of home.querySelectorAll("[data-meter]")) {
      meter.max = segment.members || 1;
      meter.value = segment.reachable[meter.dataset.meter];
    }
  }
  const list = document.getElementById("segments");
  const shown = document.querySelectorAll("#segments tr").length;
  const onOverview = location.pathname === "/";
  if (onOverview && segments.length !== shown && (list || segments.length)) location.reload();
}

function cell(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function addEvent(event) {
  const row = document.createElement("tr");
  const props = event.event_props;
  const ts = String(event.ts).match(/(....)(..)(..)(..)(..)(..)/).slice(1);
  const link = cell("a", props["Segment Name"]);
  link.href = `/segments/${props["Segment ID"]}`;
  const parts = [
    numbers.format(event.seq),
    cell("time", `${ts.slice(0, 3).join("-")} ${ts.slice(3).join(":")}`),
    cell("span", props.Action, props.Action === "ADD" ? "add" : "remove"),
    link,
    cell("code", Object.values(event.profile)[0]),
  ];
  for (const part of parts) {
    const place = document.createElement("td");
    place.append(part);
    row.append(place);
  }
  row.firstChild.className = "num";
  row.className = "fresh";
  const list = document.getElementById("events");
  list.prepend(row);
  while (list.rows.length > ROWS) list.lastElementChild.remove();
  document.querySelector(".empty")?.remove();
}

function listen(path, event, act) {
  const live = document.getElementById("live");
  const source = new EventSource(path + inAccount);
  source.addEventListener("open", () => { live.textContent = "live"; live.classList.add("on"); });
  source.addEventListener("error", () => { live.textContent = "not live"; live.classList.remove("on"); });
  source.addEventListener(event, (message) => act(JSON.parse(message.data)));
  addEventListener("pagehide", () => source.close());
}

async function call(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = body;
  }
  const answer = await fetch(path, options);
  const document_ = await answer.json();
  if (!answer.ok) throw new Error((document_.problems || [document_.error]).join("; "));
  return document_;
}

for (const button of document.querySelectorAll("[data-call]")) {
  button.addEventListener("click", async () => {
    if (!confirm(button.dataset.ask)) return;
    await call(...button.dataset.call.split(" "));
    location.reload();
  });
}

for (const field of document.querySelectorAll("[data-filter]")) {
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    for (const row of document.querySelectorAll(`#${field.dataset.filter} tr`)) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  });
}

for (const form of document.querySelectorAll("[data-submit=change]")) {
  form.addEventListener("change", () => form.submit());
}

for (const button of document.querySelectorAll("[data-preset]")) {
  button.addEventListener("click", () => {
    document.getElementById("plan").value = button.dataset.preset;
  });
}

for (const form of document.querySelectorAll("[data-put]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector(".saved");
    const plan = form.querySelector("textarea");
    try {
      let body = plan?.value;
      if (!plan) {
        body = {};
        for (const [name, value] of new FormData(form)) body[name] = JSON.parse(value);
        body = JSON.stringify(body);
      }
      await call("PUT", form.dataset.put, body);
      said.textContent = "Saved";
      said.classList.remove("wrong");
    } catch (error) {
      said.textContent = error.message;
      said.classList.add("wrong");
    }
  });
}

if (document.getElementById("events")) {
  listen("/emulator/v1/events/stream", "membership", addEvent);
} else {
  listen("/emulator/v1/figures/stream", "figures", showFigures);
}
