// Every policy simulated on the requests that were served, beside what was measured and the bound.

import { element, fillTable, say } from "./build.js";
import { clock, count, duration, perSecond, seconds, share, signedShare } from "./format.js";

const MEASURES = [
  ["value", "Objective", seconds],
  ["bound", "Bound", seconds],
  ["gap", "Gap", signedShare],
  ["idle_share", "Idle share", share],
  ["ttft_p50_s", "TTFT p50", seconds],
  ["ttft_p99_s", "TTFT p99", seconds],
  ["tpot_s", "TPOT mean", seconds],
  ["e2e_mean_s", "E2E mean", seconds],
  ["throughput_tok_s", "Generated", perSecond("tok")],
];

/** shadow: what `Control.shadow` answers; see there. */
export function fillShadow(shadow) {
  const ready = shadow.state === "ready";
  say(element("shadow-note"), ready ? scored(shadow) : waiting(shadow));
  say(element("shadow-error"), shadow.last_error ? `The last evaluation failed: ${shadow.last_error}` : "");
  element("shadow").hidden = !ready;
  if (!ready) return;
  const columns = [{ name: "Policy" }, ...MEASURES.map(([field, name]) => ({ name: field === "value" ? sentence(shadow.objective) : name }))];
  fillTable(element("shadow"), columns, [
    ...shadow.rows.map((row) => ({ kind: kindOf(row, shadow.rows), cells: cells(row.active ? `${row.policy} (active)` : row.policy, row) })),
    { kind: "aside", cells: cells("measured", shadow.measured) },
    { kind: "aside", cells: cells("simulation error", shadow.model_error, signedShare) },
  ]);
}

const cells = (name, values, same) => [{ text: name, title: name }, ...MEASURES.map(([field, , format]) => (same ?? format)(values[field]))];

function kindOf(row, rows) {
  const best = row.value === Math.min(...rows.map(({ value }) => value));
  return [row.active ? "active" : "", best ? "best" : ""].join(" ").trim();
}

function waiting({ state, requests, needed }) {
  return state === "evaluating" ? `Simulating every policy on ${count(requests)} requests…` : `Collecting: ${count(requests)} of ${count(needed)} requests that the evaluation needs.`;
}

function scored(shadow) {
  const what = `Simulated on ${count(shadow.requests)} requests over ${duration(shadow.window_s)}, as of ${clock(shadow.evaluated_s)}: ${shadow.model}.`;
  return `${what} Bound on the ${shadow.objective}: ${shadow.bound_method}. The least is in colour.`;
}

const sentence = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
