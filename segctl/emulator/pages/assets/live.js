// One live connection for all visible tabs of a browser.
//
// A browser opens six connections to a host at most, and a live stream uses up one of them.
// So the visible tabs choose a leader with a Web Lock.  The leader alone is connected, and
// tells the others over a BroadcastChannel.  A hidden tab gives up the lock.  Where there are
// no Web Locks (a page that came from another machine without TLS), each visible tab asks
// for the numbers now and then.

const PATH = "/emulator/v1/changes";
const LOCK = "segctl-emulator-live";
const SILENCE = 40_000; // the service sends something every 15 s
const POLL = 2_000;

const channel = new BroadcastChannel(LOCK);
const listeners = [];
let state = { live: false, since: Date.now(), versions: null };
let heard = Date.now();
let stop = null;
let isLeader = false;

/** Call `handle({live, since, versions})` at each change of the connection or of a version. */
export function listen(handle) {
  listeners.push(handle);
}

function show(next) {
  heard = Date.now();
  state = next;
  for (const handle of listeners) handle(state);
}

function report(live, versions = state.versions) {
  const since = live === state.live ? state.since : Date.now();
  show({ live, since, versions });
  channel.postMessage(state);
}

channel.addEventListener("message", ({ data }) => {
  if (data === "hello") {
    if (isLeader) channel.postMessage(state);
  } else if (!isLeader) {
    show(data);
  }
});

/** Stay connected until the signal aborts. */
function connect(signal) {
  return new Promise((resolve) => {
    isLeader = true;
    const source = new EventSource(`${PATH}/stream`);
    source.addEventListener("changes", ({ data }) => report(true, JSON.parse(data)));
    source.addEventListener("error", () => report(false));
    signal.addEventListener("abort", () => {
      isLeader = false;
      source.close();
      resolve();
    });
  });
}

function lead(options) {
  const { signal } = stop;
  const hold = () => (signal.aborted ? undefined : connect(signal));
  navigator.locks.request(LOCK, options, hold).catch(() => {
    // Another tab took the lock, because it heard nothing from this one.
    if (!signal.aborted) restart();
  });
}

async function poll() {
  const { signal } = stop;
  while (!signal.aborted) {
    try {
      const response = await fetch(PATH, { signal });
      report(response.ok, response.ok ? await response.json() : undefined);
    } catch {
      if (!signal.aborted) report(false);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
}

function start() {
  if (stop) return;
  stop = new AbortController();
  heard = Date.now();
  if (!navigator.locks) {
    poll();
    return;
  }
  lead({ signal: stop.signal });
  channel.postMessage("hello");
}

function end() {
  stop?.abort();
  stop = null;
}

function restart() {
  end();
  start();
}

function follow() {
  if (document.hidden) end();
  else start();
}

setInterval(() => {
  if (!stop || isLeader || Date.now() - heard < SILENCE) return;
  show({ ...state, live: false, since: heard });
  if (navigator.locks) lead({ steal: true });
}, 5_000);

addEventListener("pagehide", end);
addEventListener("pageshow", follow);
document.addEventListener("visibilitychange", follow);
follow();
