// The page: asks the router each second while it is looked at, and says plainly when there is no answer.

import { ask, forgetKey, storeKey, storedKey, Unauthorized } from "./api.js";
import { element, say } from "./build.js";
import { buildCharts } from "./charts.js";
import { clock, count, duration } from "./format.js";
import { fillShadow } from "./shadow.js";
import { fillLatency, fillQueue, fillTotals, fillWorkers } from "./tables.js";

const EVERY_MS = 1000, SHADOW_EVERY_MS = 10000, MOST_SAMPLES = 600;

const drawCharts = buildCharts();
let history = null, uptime_s = 0, answered_s = null, shadowAsked_ms = -Infinity, timer = null;

async function poll() {
  clearTimeout(timer);
  timer = null;
  try {
    const snapshot = await ask("/stats");
    if (snapshot.uptime_s < uptime_s) history = null; // another router: what was held is not its history
    uptime_s = snapshot.uptime_s;
    history = await newest(history);
    answered_s = snapshot.now_s;
    show("ready"); // first: charts measure the room that they have
    fill(snapshot);
    await pollShadow();
  } catch (error) {
    if (error instanceof Unauthorized) return askForKey(error);
    element("failure").textContent = answered_s === null ? error.message : `${error.message} What follows is as of ${clock(answered_s)}.`;
    say(element("state"), "no answer");
    element("state").className = "badge bad";
    show("failed");
  }
  if (timer === null && !document.hidden) timer = setTimeout(poll, EVERY_MS);
}

/** The held history with the samples since; all of it anew when the workers are others. */
async function newest(held) {
  if (held === null || held.t.length === 0) return ask("/history");
  const more = await ask(`/history?after=${held.t.at(-1)}`);
  if (JSON.stringify(more.workers) !== JSON.stringify(held.workers)) return ask("/history");
  return Object.fromEntries(Object.entries(more).map(([name, values]) => [name, name === "workers" ? values : [...held[name], ...values].slice(-MOST_SAMPLES)]));
}

async function pollShadow() {
  if (performance.now() - shadowAsked_ms < SHADOW_EVERY_MS) return;
  shadowAsked_ms = performance.now();
  try {
    fillShadow(await ask("/shadow"));
  } catch (error) {
    if (error instanceof Unauthorized) throw error;
    say(element("shadow-note"), error.message);
  }
}

function fill(snapshot) {
  const up = snapshot.workers.filter((worker) => worker.state === "up").length;
  document.title = `${snapshot.policy} · shadowprice router`;
  say(element("version"), snapshot.version);
  say(element("state"), snapshot.state);
  element("state").className = `badge ${snapshot.state === "serving" ? "good" : "warn"}`;
  const { decides } = snapshot.kernels; // something else while the policy is being compiled
  say(element("policy"), decides === snapshot.policy ? decides : `${snapshot.policy} (until it is compiled: ${decides})`);
  say(element("scheduling-policy"), snapshot.scheduling_policy);
  say(element("lockstep"), snapshot.lockstep ? "in lockstep" : "independent");
  say(element("workers-up"), `${count(up)} of ${count(snapshot.workers.length)}`);
  element("workers-up").className = up === snapshot.workers.length && up > 0 ? "" : "bad";
  say(element("uptime"), duration(snapshot.uptime_s));
  say(element("fresh"), `as of ${clock(snapshot.now_s)}`);
  drawCharts(history);
  fillWorkers(snapshot.workers);
  fillQueue(snapshot.queue, snapshot.prices);
  fillLatency(snapshot.latency);
  fillTotals(snapshot);
}

/** state: loading, ready, failed (the last numbers stay, dimmed) or locked. */
function show(state) {
  document.body.dataset.state = state;
  element("loading").hidden = state !== "loading";
  element("failure").hidden = state !== "failed";
  element("key-form").hidden = state !== "locked";
  const filled = answered_s !== null && state !== "locked";
  for (const id of ["content", "state", "facts"]) element(id).hidden = !filled;
  element("forget").hidden = storedKey() === null || state === "locked";
}

function askForKey(error) {
  say(element("key-problem"), storedKey() === null ? "" : `Not accepted: ${error.message}.`);
  forgetKey();
  show("locked");
  element("key").focus();
}

element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  storeKey(element("key").value.trim());
  element("key").value = "";
  shadowAsked_ms = -Infinity;
  poll();
});
element("forget").addEventListener("click", () => {
  forgetKey();
  clearTimeout(timer);
  location.reload();
});
document.addEventListener("visibilitychange", () => !document.hidden && document.body.dataset.state !== "locked" && poll());
poll();
