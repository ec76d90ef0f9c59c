// Where ticks stand and what they say.

/** Ticks 0, step, ... with the last at or above `top`; about `wanted` of them; steps of 1, 2 or 5 times a power of ten. */
export function ticksTo(top, wanted) {
  const highest = top > 0 ? top : 1;
  const rough = highest / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9));
  return Array.from({ length: Math.ceil(highest / step - 1e-9) + 1 }, (_, i) => i * step);
}

const WINDOWS_S = [60, 120, 300, 600];

/** The shortest usual window [s] that shows all of the samples. */
export function windowOf(times) {
  const span = times.length > 1 ? times[times.length - 1] - times[0] : 0;
  return WINDOWS_S.find((window) => window >= span - 1) ?? Math.ceil(span / 600) * 600;
}

/** Ages [s] to mark on the time axis, the oldest first, and their labels. */
export function timeTicks(window) {
  return [window, window / 2, 0].map((age) => [age, age === 0 ? "now" : age % 60 === 0 ? `−${age / 60} min` : `−${age} s`]);
}
