// Every policy scored on the traffic that was served, beside the active one and the bound.

import { element, fillTable, say } from "./build.js";
import { clock, count, duration, seconds, share, signedShare, tokens } from "./format.js";

const MEASURES = [
  ["idle_share", "Idle share", share],
  ["imbalance_tokens", "Imbalance", tokens],
  ["tpot_s", "TPOT mean", seconds],
  ["ttft_p99_s", "TTFT p99", seconds],
  ["barrier_s", "Step time, sum", seconds],
  ["barrier_bound_s", "Bound on it", seconds],
  ["gap", "Gap to bound", signedShare],
];

/** shadow: {state: "collecting", requests, needed}, or {state, at_s, requests, span_s, active, policies: [{policy, ...}]}. */
export function fillShadow(shadow) {
  const rows = shadow.policies ?? [];
  say(element("shadow-note"), note(shadow));
  element("shadow").hidden = rows.length === 0;
  const measures = MEASURES.filter(([field]) => rows.some((row) => typeof row[field] === "number"));
  const gaps = rows.map((row) => row.gap ?? Infinity);
  const least = Math.min(...gaps);
  const columns = [{ name: "Policy" }, ...measures.map(([, name]) => ({ name }))];
  fillTable(element("shadow"), columns, rows.map((row, r) => ({
    kind: [row.policy === shadow.active ? "active" : "", gaps[r] === least && least < Infinity ? "best" : ""].join(" ").trim(),
    cells: [row.policy === shadow.active ? `${row.policy} (active)` : row.policy, ...measures.map(([field, , format]) => format(row[field]))],
  })));
}

function note(shadow) {
  if (shadow.state === "collecting") return `Collecting: ${count(shadow.requests)} of ${count(shadow.needed)} requests that the evaluation needs.`;
  const scored = `Scored on ${count(shadow.requests)} requests over ${duration(shadow.span_s)}, as of ${clock(shadow.at_s)}.`;
  const gaps = shadow.policies.some((row) => typeof row.gap === "number");
  return gaps ? `${scored} A gap is the distance to the bound that no policy can beat; the least is in colour.` : scored;
}
