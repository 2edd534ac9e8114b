// Prometheus's text -> what the page shows: figures of each model between two readings of /metrics. Pure.

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** The samples of Prometheus's text. */
export function samples(text) {
  return text.split("\n").map((line) => line.match(LINE)).filter(Boolean).map(([, name, labels, value]) => ({
    name,
    labels: Object.fromEntries([...(labels ?? "").matchAll(LABEL)].map(([, key, raw]) => [key, plain(raw)])),
    value: value === "+Inf" ? Infinity : Number(value),
  }));
}

function plain(raw) {
  return raw.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
}

/** One reading: sums by model, and what is known of the process. `at` is in seconds of the page's clock. */
export function reading(text, at) {
  const models = new Map();
  const whole = {};
  const model = (name) => {
    if (!models.has(name)) {
      models.set(name, { requests: 0, errors: 0, refused: 0, waiting: 0, seconds: new Map(), batches: new Map(), images: 0 });
    }
    return models.get(name);
  };
  for (const { name, labels, value } of samples(text)) {
    if (labels.model === undefined) whole[name] = value;
    if (!labels.model) continue; // of no model: health checks, and this page's own requests
    const sums = model(labels.model);
    if (name === "p2p_worker_requests_total") {
      sums.requests += value;
      if (labels.status.startsWith("5")) sums.errors += value;
    } else if (name === "p2p_worker_request_duration_seconds_bucket") add(sums.seconds, labels.le, value);
    else if (name === "p2p_worker_batch_size_bucket") add(sums.batches, labels.le, value);
    else if (name === "p2p_worker_batch_size_sum") sums.images += value;
    else if (name === "p2p_worker_queue_depth") sums.waiting += value;
    else if (name === "p2p_worker_rejected_total") sums.refused += value;
  }
  return {
    at,
    models,
    began: whole.process_start_time_seconds,
    cpu: whole.process_cpu_seconds_total,
    memory: whole.process_resident_memory_bytes,
    inFlight: whole.p2p_worker_requests_in_flight,
  };
}

function add(counts, le, value) {
  counts.set(le, (counts.get(le) ?? 0) + value);
}

/** The figures of one model between two readings of the same process. Times are in milliseconds, null without requests. */
export function figures(before, after, name) {
  const now = after.models.get(name);
  const then = before.models.get(name);
  const took = after.at - before.at;
  if (!now || took <= 0) return null;
  const requests = now.requests - (then?.requests ?? 0);
  const times = buckets(then?.seconds, now.seconds);
  const sizes = buckets(then?.batches, now.batches);
  const batches = sizes.reduce((sum, { count }) => sum + count, 0);
  return {
    rate: requests / took,
    errors: requests ? (100 * (now.errors - (then?.errors ?? 0))) / requests : 0,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    refused: now.refused - (then?.refused ?? 0),
    batch: batches ? (now.images - (then?.images ?? 0)) / batches : null,
    sizes: batches ? sizes.map(({ from, to, count }) => ({ from, to, percent: (100 * count) / batches })) : [],
  };
}

/** The observations in each bucket between two readings: of values above `from` and up to `to`. */
export function buckets(before, after) {
  let under = 0;
  let from = 0;
  return [...after].map(([le, value]) => ({ to: le === "+Inf" ? Infinity : Number(le), sum: value - (before?.get(le) ?? 0) }))
    .sort((one, other) => one.to - other.to)
    .map(({ to, sum }) => {
      const bucket = { from, to, count: sum - under };
      under = sum;
      from = to;
      return bucket;
    });
}

/** A quantile of seconds in milliseconds, as Prometheus estimates it: evenly spread within a bucket. */
export function quantile(times, part) {
  const all = times.reduce((sum, { count }) => sum + count, 0);
  if (!all) return null;
  let rest = part * all;
  for (const { from, to, count } of times) {
    if (count && rest <= count) return 1000 * (to === Infinity ? from : from + ((to - from) * rest) / count);
    rest -= count;
  }
  return 1000 * times.at(-1).from;
}

/** Requests a second between each two neighbouring readings. */
export function rates(readings, name) {
  return readings.slice(1).map((after, place) => figures(readings[place], after, name)?.rate ?? 0);
}
