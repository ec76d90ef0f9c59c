// One line chart over time as SVG: exact pixels, so that text keeps its size; a cursor shared by all charts.

import { make, makeSvg, resize, say } from "./build.js";
import { clock } from "./format.js";
import { ticksTo, timeTicks, windowOf } from "./axes.js";

const HEIGHT = 118, LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 18;

/**
 * Append a chart to `host`; answers draw(times, lines, cursor), lines being arrays of numbers or null and cursor the
 * index that is looked at, or null for the newest.
 * names: of the lines ("" for one that needs none). say: number to text with unit. tick: number to axis text.
 */
export function lineChart(host, { title, names, format, tick, least = 0, look }) {
  const svg = makeSvg("svg", { class: "chart", role: "img", tabindex: "0" });
  const values = names.map((name, s) => legend(name, s, names.length > 1));
  const heading = make("h2");
  heading.textContent = title;
  host.append(make("section", { class: "card" }, make("div", { class: "chart-head" }, heading, make("div", { class: "now" }, ...values.map((v) => v.parentElement))), svg));
  const grid = makeSvg("g"), cursorLine = makeSvg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
  const moment = makeSvg("text", { y: TOP + 3 }), mark = makeSvg("g", {}, cursorLine, moment);
  const paths = names.map((_, s) => makeSvg("path", { class: `series-${s}` }));
  svg.append(grid, ...paths, mark);
  let shown = { times: [], x: () => 0 };
  follow(svg, () => shown, look);

  return (times, lines, cursor) => {
    const width = Math.max(svg.clientWidth, LEFT + RIGHT + 40);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const window = windowOf(times), last = times[times.length - 1] ?? 0;
    const top = Math.max(least, ...lines.flat().filter((v) => v !== null && v !== undefined));
    const ticks = ticksTo(top, 3);
    const x = (t) => width - RIGHT - ((last - t) / window) * (width - LEFT - RIGHT);
    const y = (v) => HEIGHT - BOTTOM - (v / ticks[ticks.length - 1]) * (HEIGHT - BOTTOM - TOP);
    drawGrid(grid, { width, window, last, x, y, ticks, tick });
    paths.forEach((path, s) => path.setAttribute("d", pathOf(times, lines[s] ?? [], x, y)));
    shown = { times, x };
    const at = cursor ?? times.length - 1;
    mark.setAttribute("visibility", cursor === null ? "hidden" : "visible");
    if (cursor !== null) point(cursorLine, moment, x(times[cursor]), width, clock(times[cursor]));
    values.forEach((node, s) => say(node, format((lines[s] ?? [])[at] ?? null)));
    svg.setAttribute("aria-label", spoken(title, names, lines, format));
  };
}

function legend(name, s, keyed) {
  const value = make("b");
  const holder = make("span", { class: `series-${s}` });
  if (keyed) holder.append(make("span", { class: "swatch", "aria-hidden": "true" }));
  if (name !== "") holder.append(make("span", { class: "name" }, name));
  holder.append(value);
  return value;
}

function drawGrid(grid, { width, window, last, x, y, ticks, tick }) {
  const marks = timeTicks(window);
  resize(grid, 2 * (ticks.length + marks.length), (i) => makeSvg(i % 2 === 0 ? "line" : "text"));
  const nodes = [...grid.children];
  ticks.forEach((value, i) => {
    place(nodes[2 * i], { class: value === 0 ? "axis" : "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) });
    place(nodes[2 * i + 1], { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" });
    say(nodes[2 * i + 1], tick(value));
  });
  marks.forEach(([age, label], i) => {
    const [line, text] = nodes.slice(2 * (ticks.length + i));
    place(line, { class: "axis", x1: x(last - age), x2: x(last - age), y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 3 });
    place(text, { x: x(last - age), y: HEIGHT - 3, "text-anchor": ["start", "middle", "end"][i] });
    say(text, label);
  });
}

/** The cursor at `x` and its time, on the side that has room. */
function point(line, text, x, width, time) {
  const left = x > width / 2;
  place(line, { x1: x, x2: x });
  place(text, { x: left ? x - 4 : x + 4, "text-anchor": left ? "end" : "start" });
  say(text, time);
}

function place(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

/** Lines between neighbouring samples; a gap where there is no number; a lone sample is a dot's width. */
function pathOf(times, values, x, y) {
  let d = "", pen = false;
  times.forEach((t, i) => {
    const value = values[i];
    if (value === null || value === undefined) pen = false;
    else {
      d += `${pen ? "L" : "M"}${x(t).toFixed(1)} ${y(value).toFixed(1)}${pen ? "" : "h.1"}`;
      pen = true;
    }
  });
  return d;
}

function spoken(title, names, lines, format) {
  const each = names.map((name, s) => {
    const numbers = (lines[s] ?? []).filter((v) => v !== null && v !== undefined);
    if (numbers.length === 0) return `${name} no numbers yet`.trim();
    const newest = lines[s][lines[s].length - 1];
    return `${name} now ${format(newest ?? null)}, between ${format(Math.min(...numbers))} and ${format(Math.max(...numbers))}`.trim();
  });
  return `${title}: ${each.join("; ")}`;
}

/** Report the sample under the pointer, or next to the last one by the arrow keys, to `look` (null: none). */
function follow(svg, shown, look) {
  svg.addEventListener("pointermove", (event) => {
    const { times, x } = shown();
    const at = event.clientX - svg.getBoundingClientRect().left;
    look(times.length === 0 ? null : nearest(times, (t) => Math.abs(x(t) - at)));
  });
  svg.addEventListener("pointerleave", () => look(null));
  svg.addEventListener("blur", () => look(null));
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    look((cursor, length) => Math.min(length - 1, Math.max(0, (cursor ?? length - 1) + move)));
  });
}

export function nearest(times, distance) {
  return times.reduce((best, t, i) => (distance(t) < distance(times[best]) ? i : best), 0);
}
