// Numbers with their units, as text. What is not known is a dash.

const DASH = "–";
const groups = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

const known = (value) => typeof value === "number" && Number.isFinite(value);

const digits = (value, places) => value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });

/** Three significant digits, never an exponent. */
const three = (value) => digits(value, value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));

export const count = (value) => (known(value) ? groups.format(value) : DASH);

export const tokens = (value) => (known(value) ? `${groups.format(value)} tok` : DASH);

export const share = (value) => (known(value) ? `${digits(100 * value, 1)} %` : DASH);

export const signedShare = (value) => (known(value) ? `${value > 0 ? "+" : ""}${share(value)}` : DASH);

export const perSecond = (unit) => (value) => (known(value) ? `${value >= 100 ? groups.format(value) : three(value)} ${unit}/s` : DASH);

export function seconds(value) {
  if (!known(value)) return DASH;
  if (value === 0) return "0 s";
  if (Math.abs(value) < 0.0009995) return `${three(1e6 * value)} µs`;
  if (Math.abs(value) < 0.9995) return `${three(1e3 * value)} ms`;
  return Math.abs(value) < 120 ? `${three(value)} s` : duration(value);
}

/** A long time in its two largest units. */
export function duration(value) {
  if (!known(value)) return DASH;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const whole = Math.max(0, Math.round(value));
  const first = Math.max(0, units.findIndex(([size]) => whole >= size));
  const parts = [];
  let rest = whole;
  for (const [size, name] of units.slice(whole >= 1 ? first : 3, (whole >= 1 ? first : 3) + 2)) {
    parts.push(`${Math.floor(rest / size)} ${name}`);
    rest %= size;
  }
  return parts.join(" ");
}

export const clock = (unix) => new Date(1000 * unix).toLocaleTimeString("en-GB");

/** Text for the name of a count: "queue_full" reads "queue full". */
export const words = (name) => name.replaceAll("_", " ");

/** Axis text: a few characters, its unit where the number alone would mislead. */
export const short = (value) => (value >= 1e6 ? `${+(value / 1e6).toPrecision(3)}M` : value >= 1e3 ? `${+(value / 1e3).toPrecision(3)}k` : `${+value.toPrecision(3)}`);

export const shortShare = (value) => `${+(100 * value).toPrecision(3)} %`;

export const shortSeconds = (value) => (value === 0 ? "0" : value < 0.001 ? `${+(1e6 * value).toPrecision(3)} µs` : value < 1 ? `${+(1e3 * value).toPrecision(3)} ms` : `${+value.toPrecision(3)} s`);
