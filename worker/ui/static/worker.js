// Starts the worker's page: asks /readyz and /metrics every two seconds and shows what they say.

import { Refused, headers, sentence, signedIn } from "./api.js";
import { card, state } from "./cards.js";
import { h, keyed, notes } from "./dom.js";
import { tryIt } from "./attempt.js";
import { reading } from "./metrics.js";
import { signIn } from "./sign-in.js";
import { processFacts } from "./process.js";

const EVERY_MS = 2000;
const KEPT_S = 60;
const main = document.querySelector("main");
const connection = document.querySelector("#connection");
const title = h("h2", { class: "name", dir: "auto" });
const badgeBox = h("span", {});
const reasons = h("div", {});
const facts = h("dl", { class: "facts", "aria-label": "Process" });
const models = h("div", { class: "models" });
const attempt = tryIt();
let readings = [];

function connected(now, said) {
  connection.dataset.state = now;
  if (connection.textContent !== said) connection.textContent = said;
}

/** What /readyz says; it says so with status 503, too, while the worker is not ready. */
async function ready() {
  const response = await fetch("../readyz", { headers: headers(), cache: "no-store" });
  if (response.ok || response.status === 503) return response.json();
  throw new Refused(response.status, sentence(await response.text()));
}

/** Adds a reading of /metrics to those of the last minute; returns the refusal where figures are not for everybody. */
async function read() {
  const response = await fetch("../metrics", { headers: headers(), cache: "no-store" });
  if (!response.ok) {
    const refusal = new Refused(response.status, sentence(await response.text()));
    if (response.status === 403 && !signedIn()) return refusal; // a token would not help: figures stay on the worker's host
    throw refusal;
  }
  const now = reading(await response.text(), performance.now() / 1000);
  if (readings.at(-1)?.began !== now.began) readings = []; // another process
  now.uptime = now.began ? Date.parse(response.headers.get("Date")) / 1000 - now.began : null; // by the worker's clock
  readings = [...readings, now].filter(({ at }) => now.at - at <= KEPT_S);
  return null;
}

function show(said, refusal) {
  const names = Object.keys(said.models ?? {});
  const measured = [...(readings.at(-1)?.models.keys() ?? [])];
  const name = said.model ?? measured[0] ?? "This worker";
  if (title.textContent !== name) title.textContent = name;
  document.title = `${name} · p2p-serving worker`;
  keyed(badgeBox, [[said.ready, said.leaving]], () => "state", () => state(said));
  const sentences = [...(said.waiting_for ?? []), ...(refusal ? [refusal.message] : [])];
  keyed(reasons, sentences.length ? [sentences] : [], () => "reasons", notes);
  keyed(facts, processFacts(readings, said), ([name]) => name, ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  const shown = names.length ? names : measured;
  const ordered = [...shown].sort((one, other) => (other === said.model) - (one === said.model));
  keyed(models, ordered.map((name) => card(name, said, readings)), ({ name }) => name, ({ make }) => make());
  attempt.show(said);
}

async function follow() {
  for (;;) {
    try {
      if (!document.hidden) {
        const [said, refusal] = await Promise.all([ready(), read()]);
        show(said, refusal);
        connected("live", "live");
      }
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) return ask(error);
      connected("lost", "The worker does not answer; trying again …");
    }
    await new Promise((resolve) => setTimeout(resolve, readings.length < 2 ? EVERY_MS / 2 : EVERY_MS));
  }
}

function ask(refusal) {
  connected("refused", "not signed in");
  signIn(main, { title: "Operators only", label: "Token", refusal, then: open });
}

function open() {
  readings = [];
  const head = h("div", { class: "head" }, title, badgeBox);
  main.replaceChildren(h("section", { "aria-label": "Worker" }, head, reasons, facts, models), attempt.element);
  follow();
}

open();
