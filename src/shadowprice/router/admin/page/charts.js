// The charts of the page and what each shows of the history.

import { element } from "./build.js";
import { lineChart } from "./chart.js";
import { count, perSecond, seconds, share, short, shortSeconds, shortShare, tokens } from "./format.js";
import { heatMap } from "./heat.js";

const CHARTS = [
  { title: "Requests", fields: ["in_flight", "queue"], names: ["in flight", "queued"], format: count, tick: short, least: 4 },
  { title: "Idle share", fields: ["idle_share"], names: [""], format: share, tick: shortShare, least: 0.04 },
  { title: "Imbalance", fields: ["imbalance_tokens"], names: [""], format: tokens, tick: short, least: 100 },
  { title: "Generated tokens", fields: ["tokens_per_s"], names: [""], format: perSecond("tok"), tick: short, least: 10 },
  { title: "TTFT", fields: ["ttft_p50_s", "ttft_p99_s"], names: ["p50", "p99"], format: seconds, tick: shortSeconds, least: 0.01 },
  { title: "TPOT", fields: ["tpot_p50_s", "tpot_p99_s"], names: ["p50", "p99"], format: seconds, tick: shortSeconds, least: 0.01 },
  { title: "Refused", fields: ["refused_per_s"], names: [""], format: perSecond("req"), tick: short, least: 1 },
];

/** Builds the charts; answers draw(history), which also runs by itself when the cursor moves. */
export function buildCharts() {
  let held = null, cursor = null;
  const look = (at) => {
    if (held === null) return;
    cursor = typeof at === "function" ? at(cursor, held.t.length) : at;
    redraw();
  };
  const drawHeat = heatMap(element("heat"), look);
  const drawLines = CHARTS.map((chart) => lineChart(element("charts"), { ...chart, look }));
  const redraw = () => {
    if (cursor !== null && cursor >= held.t.length) cursor = null;
    drawHeat(held.t, held.workers, held.kv_tokens, cursor);
    CHARTS.forEach(({ fields }, i) => drawLines[i](held.t, fields.map((field) => held[field]), cursor));
  };
  addEventListener("resize", () => held !== null && redraw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => held !== null && redraw());
  return (history) => {
    held = history;
    redraw();
  };
}
