// Times and sizes as people read them.

/** Seconds: 12 s, 3 min, 5 h 12 min, 4 d 3 h. */
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

/** Something a second. */
export function perSecond(rate) {
  return rate >= 100 ? rate.toFixed(0) : rate >= 10 || rate === 0 ? rate.toFixed(rate ? 1 : 0) : rate.toFixed(2);
}
