// Keeps an open page up to date: reads it again after a change, and takes over what differs.
//
// The service makes all HTML.  Only the elements with data-live are updated, so what is
// typed, chosen and scrolled stays.
import { listen } from "./live.js";
import { morph } from "./morph.js";

const PAUSE = 300; // between two reads
const RELATIVE = 60_000; // "2 min ago" becomes older without a change

const main = document.querySelector("main");
const indicator = document.getElementById("live");
let isReading = false;
let isWanted = false;

/** Read the page again and update its live parts. Several calls at once become one or two. */
export async function refresh() {
  isWanted = true;
  if (isReading) return;
  isReading = true;
  while (isWanted && !document.hidden) {
    isWanted = false;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      take(new DOMParser().parseFromString(await response.text(), "text/html"), response.ok);
    } catch {
      // The live connection says that the service cannot be reached.
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  isReading = false;
}

function take(fresh, isFound) {
  const freshMain = fresh.querySelector("main");
  if (!freshMain) return;
  document.title = fresh.title;
  main.dataset.versions = freshMain.dataset.versions;
  if (!isFound) {
    morph(main, freshMain);
    return;
  }
  for (const part of document.querySelectorAll("[data-live]")) {
    const freshPart = fresh.getElementById(part.id);
    if (freshPart) morph(part, freshPart);
  }
  document.dispatchEvent(new CustomEvent("refreshed"));
}

function differ(versions) {
  const known = JSON.parse(main.dataset.versions);
  const topics = ["start", ...main.dataset.topics.split(" ")];
  return topics.some((topic) => versions[topic] !== known[topic]);
}

function describe({ live, since }) {
  if (live) return "live";
  const time = new Date(since).toLocaleTimeString([], { hour12: false });
  return `not live since ${time}`;
}

listen((state) => {
  const text = describe(state);
  if (indicator.textContent !== text) indicator.textContent = text;
  indicator.classList.toggle("on", state.live);
  if (state.versions && differ(state.versions)) refresh();
});

setInterval(refresh, RELATIVE);
