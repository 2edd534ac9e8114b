// The last 15 minutes of each service's figures: asked for once, then prolonged by what the summary says.

import { ask } from "./api.js";

const KEPT_S = 15 * 60;
const AT_MOST = 40;
const SERIES = ["requests_per_s", "errors", "p50_s", "p99_s", "queue"];

/** The last 15 minutes of one worker. */
export async function ofWorker(service, id) {
  return (await ask(`/history/${encodeURIComponent(service)}?worker=${encodeURIComponent(id)}`)).json();
}

export class Histories {
  #known = new Map();
  #changed;

  /** `changed` is called when a history has come. */
  constructor(changed) {
    this.#changed = changed;
  }

  /** The history of a service: `at` and the series beside it; undefined while it is not known. */
  of(service) {
    return this.#known.get(service);
  }

  /** Takes up the figures of a summary; `anew`: what was missed since the last one is asked for, too. */
  take(summary, { anew }) {
    if (anew) this.#known.clear();
    for (const { name, figures } of summary.services) {
      const known = this.#known.get(name);
      if (!figures) continue;
      if (known) prolong(known, figures);
      else if (this.#known.size < AT_MOST) this.#fetch(name);
    }
  }

  async #fetch(name) {
    const waiting = { at: [] };
    this.#known.set(name, waiting);
    try {
      const history = await (await ask(`/history/${encodeURIComponent(name)}`)).json();
      if (this.#known.get(name) === waiting) this.#known.set(name, history);
      this.#changed();
    } catch {
      if (this.#known.get(name) === waiting) this.#known.delete(name); // the next summary asks again
    }
  }
}

function prolong(history, figures) {
  if (!history.requests_per_s || figures.at <= (history.at.at(-1) ?? 0)) return;
  history.at.push(figures.at);
  for (const name of SERIES) history[name].push(figures[name]);
  while (history.at[0] < figures.at - KEPT_S) for (const name of ["at", ...SERIES]) history[name].shift();
}
