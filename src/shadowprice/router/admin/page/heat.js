// KV tokens per worker over time: a row per worker, darker where it holds more. Drawn on a canvas, one pixel a sample.

import { make, resize, say } from "./build.js";
import { timeTicks, windowOf } from "./axes.js";
import { clock, count, tokens } from "./format.js";

/** Append the map to `host`; answers draw(times, workers, kv, cursor) with kv [samples][workers]. */
export function heatMap(host, look) {
  const names = make("div", { class: "names" }), numbers = make("div", { class: "numbers" });
  const canvas = make("canvas", { role: "img" });
  const grid = make("div", { class: "heat" }, names, canvas, numbers);
  const axis = make("div", { class: "heat-axis", "aria-hidden": "true" }, make("span"), make("span"), make("span"));
  grid.append(make("span"), axis);
  const when = make("span"), most = make("span");
  const scale = make("span", {}, "0", make("span", { class: "scale", "aria-hidden": "true" }), most);
  host.append(grid, make("div", { class: "heat-foot" }, when, scale));
  let shown = { times: [], window: 60 };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const age = (1 - (event.clientX - box.left) / box.width) * shown.window;
    const last = shown.times[shown.times.length - 1];
    const at = shown.times.findLastIndex((t) => t <= last - age + 0.5);
    look(at < 0 ? null : at);
  });
  canvas.addEventListener("pointerleave", () => look(null));

  return (times, workers, kv, cursor) => {
    const window = windowOf(times), row = workers.length > 12 ? 14 : 18;
    shown = { times, window };
    grid.style.setProperty("--row", `${row}px`);
    canvas.style.height = `${row * workers.length}px`;
    const top = kv.reduce((most, sample) => Math.max(most, ...sample), 1);
    paint(canvas, { times, workers, kv, cursor, window, top });
    const at = cursor ?? times.length - 1;
    resize(names, workers.length, () => make("div", { class: "row" }));
    resize(numbers, workers.length, () => make("div", { class: "row" }));
    workers.forEach((name, g) => {
      say(names.children[g], name);
      names.children[g].title = name;
      say(numbers.children[g], tokens(kv[at]?.[g] ?? null));
    });
    timeTicks(window).forEach(([, label], i) => say(axis.children[i], label));
    say(when, times.length === 0 ? "No sample yet." : `at ${clock(times[at])}`);
    say(most, tokens(top));
    canvas.setAttribute("aria-label", `KV tokens of ${count(workers.length)} workers over time; the newest are beside it`);
  };
}

function paint(canvas, { times, workers, kv, cursor, window, top }) {
  const width = Math.max(1, Math.round(window)), height = Math.max(1, workers.length);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const low = colour("--heat-low"), high = colour("--heat-high");
  const last = times[times.length - 1] ?? 0;
  times.forEach((t, i) => {
    const from = Math.round(width - 1 - (last - t)), until = i + 1 < times.length ? Math.round(width - 1 - (last - times[i + 1])) : width;
    for (let x = Math.max(0, from); x < Math.max(until, from + 1) && x < width; x++) {
      for (let g = 0; g < workers.length; g++) {
        const value = kv[i][g];
        if (value === null || value === undefined) continue;
        const at = 4 * (g * width + x), u = Math.min(1, value / top);
        for (let c = 0; c < 3; c++) image.data[at + c] = low[c] + u * (high[c] - low[c]);
        image.data[at + 3] = i === cursor ? 140 : 255;
      }
    }
  });
  context.putImageData(image, 0, 0);
}

/** A colour of the style sheet, #rrggbb, as three numbers. */
function colour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
}
