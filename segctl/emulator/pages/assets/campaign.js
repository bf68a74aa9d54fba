// The form of a new campaign: audience builder, trigger, and an estimate while one picks.
import { send } from "./actions.js";
import { refresh } from "./refresh.js";

const PAUSE = 200; // after a key, before the search
const form = document.getElementById("campaign");
const numbers = new Intl.NumberFormat("en-US");

if (form) start();

function start() {
  const status = form.querySelector(".saved");
  const field = (name) => form.elements.namedItem(name);
  const query = `?account=${encodeURIComponent(form.dataset.account)}`;
  const chosen = (list) => [...document.querySelectorAll(`#${list} .chip`)].map((chip) => Number(chip.dataset.segment));
  let pending = 0;

  function say(text, isWrong = false) {
    status.textContent = text;
    status.classList.toggle("wrong", isWrong);
  }

  /** Show the parts that belong to the kind and the channel; hidden fields are not checked. */
  function showParts() {
    const active = [field("kind").value, field("channel").value];
    for (const part of form.querySelectorAll("[data-only]")) {
      part.hidden = !part.dataset.only.split(" ").some((each) => active.includes(each));
    }
    document.getElementById("when").hidden = field("start").value !== "at";
    for (const input of form.querySelectorAll("input, select")) {
      input.disabled = input.closest("[hidden]") !== null;
    }
    for (const filter of form.querySelectorAll(".filter")) {
      const [, operator] = filter.querySelectorAll("select");
      const value = filter.querySelector("input");
      value.hidden = "alone" in operator.selectedOptions[0].dataset;
      value.disabled ||= value.hidden;
    }
  }

  function choose(list, row) {
    const id = row.dataset.segment;
    // A segment has one place; a trigger has one segment.
    for (const chip of form.querySelectorAll(".chip")) {
      if (chip.dataset.segment === id || list === "segment") chip.remove();
    }
    const chip = document.getElementById("chip").content.cloneNode(true).firstElementChild;
    chip.dataset.segment = id;
    const label = row.querySelector(".name").cloneNode(true);
    chip.querySelector(".label").append(label);
    chip.querySelector("button").setAttribute("aria-label", `Remove ${label.textContent}`);
    document.getElementById(list).append(chip);
  }

  async function estimate() {
    if (field("kind").value !== "offline") return;
    pending += 1;
    const mine = pending;
    try {
      const body = { include: chosen("include"), exclude: chosen("exclude") };
      const found = await send("POST", `${form.dataset.path}/estimate${query}`, body);
      if (mine !== pending) return;
      const figures = { audience: found.audience, ...found.reachable };
      for (const tile of document.querySelectorAll("#estimate [data-figure]")) {
        tile.textContent = numbers.format(figures[tile.dataset.figure]);
        tile.closest(".tile").classList.toggle("of-channel", tile.dataset.figure === field("channel").value);
      }
      document.getElementById("no-reach").hidden = !found.audience || found.reachable.any > 0;
    } catch (error) {
      say(error.message, true);
    }
  }

  function filterOf(element) {
    const [property, operator] = element.querySelectorAll("select");
    const value = element.querySelector("input");
    const document = { name: property.value, operator: operator.value };
    if (!value.hidden) {
      const isNumber = property.value === "Segment ID" && /^[0-9]{1,15}$/.test(value.value);
      document.value = isNumber ? Number(value.value) : value.value;
    }
    return document;
  }

  function campaign() {
    const start = field("start").value;
    const body = {
      name: field("name").value,
      kind: field("kind").value,
      channel: field("channel").value,
      when: start === "now" ? "now" : start === "at" ? field("when").value : null,
    };
    if (body.kind === "offline") Object.assign(body, { include: chosen("include"), exclude: chosen("exclude") });
    else {
      body.trigger = {
        action: field("action").value,
        segment: chosen("segment")[0] ?? null,
        where: [...form.querySelectorAll(".filter")].map(filterOf),
        delay_seconds: field("delay_seconds").valueAsNumber,
      };
    }
    if (body.kind === "journey") body.exit_on_leave = field("exit_on_leave").checked;
    if (body.channel === "webhook") {
      body.webhook = { url: field("url").value };
      if (field("secret").value) body.webhook.secret = field("secret").value;
    }
    return body;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { id } = await send("POST", form.dataset.path + query, campaign());
      location.assign(`/campaigns/${id}`);
    } catch (error) {
      say(error.message, true);
    }
  });

  form.addEventListener("click", ({ target }) => {
    const choice = target.closest("[data-choose]");
    const drop = target.closest("[data-drop]");
    if (choice) choose(choice.dataset.choose, choice.closest("li"));
    else if (drop) drop.parentElement.remove();
    else if (target.id === "add-filter") {
      document.getElementById("filters").append(document.getElementById("filter").content.cloneNode(true));
    } else return;
    showParts();
    estimate();
  });

  form.addEventListener("change", () => {
    showParts();
    estimate();
  });

  let timer;
  document.getElementById("find-segment").addEventListener("input", ({ target }) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const address = new URL(location);
      address.searchParams.set("q", target.value);
      history.replaceState(null, "", address);
      refresh();
    }, PAUSE);
  });
  document.getElementById("find-segment").addEventListener("keydown", (event) => {
    // Enter in the search does not create the campaign.
    if (event.key === "Enter") event.preventDefault();
  });

  document.addEventListener("refreshed", () => {
    showParts();
    estimate();
  });
  showParts();
  estimate();
}
