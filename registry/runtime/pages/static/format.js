// Numbers and times as people read them.

/** A share in per cent, with one decimal where that says something. */
export function percent(value) {
  if (value > 0 && value < 0.05) return "< 0.1 %";
  return `${value >= 10 || value === 0 ? Math.round(value) : value.toFixed(1)} %`;
}

/** What stands for a number that is not known. */
export const UNKNOWN = "–";

/** How many per second. */
export function rate(value) {
  if (value == null) return UNKNOWN;
  return value >= 100 || value === 0 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A part of 1 in per cent. */
export function part(value) {
  return value == null ? UNKNOWN : percent(100 * value);
}

/** A duration of seconds, in milliseconds where it is below a second. */
export function seconds(value) {
  if (value == null) return UNKNOWN;
  return value >= 1 ? `${value.toFixed(value >= 10 ? 0 : 2)} s` : ms(1000 * value);
}

/** How long ago a moment was, in seconds since 1970: 40 s, 5 min, 3 h, 2 d. */
export function age(moment) {
  if (moment == null) return UNKNOWN;
  const passed = Math.max(0, Date.now() / 1000 - moment);
  if (passed < 60) return `${Math.floor(passed)} s`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min`;
  return passed < 48 * 3600 ? `${Math.floor(passed / 3600)} h` : `${Math.floor(passed / 86400)} d`;
}

/** How long: 12 s, 3 min, 5 h 12 min, 4 d 3 h. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  const [large, small, one, other] = whole < 86400 ? [3600, 60, "h", "min"] : [86400, 3600, "d", "h"];
  return `${Math.floor(whole / large)} ${one} ${Math.floor((whole % large) / small)} ${other}`;
}

/** Bytes in MiB or GiB. */
export function bytes(number) {
  return number >= 2 ** 30 ? `${(number / 2 ** 30).toFixed(1)} GiB` : `${Math.round(number / 2 ** 20)} MiB`;
}

/** Milliseconds, three digits. */
export function ms(value) {
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

/** The time of day of seconds since 1970. */
export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

/** A count with its noun: 1 worker, 2 workers. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
