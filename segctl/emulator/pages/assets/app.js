// Live figures and events, filters, and forms that send JSON.
"use strict";

const account = document.querySelector("main").dataset.account || "";
const query = account ? `?account=${encodeURIComponent(account)}` : "";
const numbers = new Intl.NumberFormat("en-US");
const ROWS = 100;

function showNumber(element, value) {
  const text = numbers.format(value);
  if (element.textContent === text) return;
  element.textContent = text;
  element.classList.remove("fresh");
  void element.offsetWidth; // restarts the animation
  element.classList.add("fresh");
}

function showFigures({ segments, stats }) {
  const requests = Object.values(stats.requests.updateSegment || {});
  const figures = { ...stats, updates: requests.reduce((sum, each) => sum + each, 0) };
  for (const element of document.querySelectorAll("[data-figure]")) {
    showNumber(element, figures[element.dataset.figure] ?? 0);
  }
  for (const segment of segments) {
    const container = document.querySelector(`[data-segment="${segment.ct_segment_id}"]`);
    if (!container) continue;
    if (segment.deleted && !container.classList.contains("deleted")) {
      location.reload();
      return;
    }
    const counts = { members: segment.members, ...segment.reachable, reachable: segment.reachable.any };
    for (const element of container.querySelectorAll("[data-count]")) {
      showNumber(element, counts[element.dataset.count]);
    }
    for (const meter of container.querySelectorAll("[data-meter]")) {
      meter.max = segment.members || 1;
      meter.value = segment.reachable[meter.dataset.meter];
    }
  }
  const list = document.getElementById("segments");
  const shown = document.querySelectorAll("#segments tr").length;
  const onOverview = location.pathname === "/";
  if (onOverview && segments.length !== shown && (list || segments.length)) location.reload();
}

function createElement(tag, text, className) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function addEvent(event) {
  const row = document.createElement("tr");
  const props = event.event_props;
  const ts = String(event.ts).match(/(....)(..)(..)(..)(..)(..)/).slice(1);
  const link = createElement("a", props["Segment Name"]);
  link.href = `/segments/${props["Segment ID"]}`;
  const parts = [
    numbers.format(event.seq),
    createElement("time", `${ts.slice(0, 3).join("-")} ${ts.slice(3).join(":")}`),
    createElement("span", props.Action, props.Action === "ADD" ? "add" : "remove"),
    link,
    createElement("code", Object.values(event.profile)[0]),
  ];
  for (const part of parts) {
    const cell = document.createElement("td");
    cell.append(part);
    row.append(cell);
  }
  row.firstChild.className = "num";
  row.className = "fresh";
  const list = document.getElementById("events");
  list.prepend(row);
  while (list.rows.length > ROWS) list.lastElementChild.remove();
  document.querySelector(".empty")?.remove();
}

function listen(path, event, handle) {
  const live = document.getElementById("live");
  const source = new EventSource(path + query);
  source.addEventListener("open", () => { live.textContent = "live"; live.classList.add("on"); });
  source.addEventListener("error", () => { live.textContent = "not live"; live.classList.remove("on"); });
  source.addEventListener(event, (message) => handle(JSON.parse(message.data)));
  addEventListener("pagehide", () => source.close());
}

async function send(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = body;
  }
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error((answer.problems || [answer.error]).join("; "));
}

for (const button of document.querySelectorAll("[data-call]")) {
  button.addEventListener("click", async () => {
    if (!confirm(button.dataset.ask)) return;
    await send(...button.dataset.call.split(" "));
    location.reload();
  });
}

for (const field of document.querySelectorAll("[data-filter]")) {
  field.addEventListener("input", () => {
    const text = field.value.toLowerCase();
    for (const row of document.querySelectorAll(`#${field.dataset.filter} tr`)) {
      row.hidden = !row.textContent.toLowerCase().includes(text);
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
    const status = form.querySelector(".saved");
    const plan = form.querySelector("textarea");
    try {
      let body = plan?.value;
      if (!plan) {
        body = {};
        for (const [name, value] of new FormData(form)) body[name] = JSON.parse(value);
        body = JSON.stringify(body);
      }
      await send("PUT", form.dataset.put, body);
      status.textContent = "Saved";
      status.classList.remove("wrong");
    } catch (error) {
      status.textContent = error.message;
      status.classList.add("wrong");
    }
  });
}

if (document.getElementById("events")) {
  listen("/emulator/v1/events/stream", "membership", addEvent);
} else {
  listen("/emulator/v1/figures/stream", "figures", showFigures);
}
