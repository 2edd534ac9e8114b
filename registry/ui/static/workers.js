// The view of workers: where each is, what it serves and does, its share of the lookups, and why it is not healthy.

import { chart } from "./chart.js";
import { badge, h, keyed, notes } from "./dom.js";
import { UNKNOWN, age, part, percent, rate, seconds } from "./format.js";
import { ofWorker } from "./histories.js";
import { charts } from "./services.js";

export const title = "Workers";

const ORDER = new Intl.Collator("en", { numeric: true });
const KINDS = { passing: "good", warning: "warn", critical: "bad", maintenance: "warn" };
const NUMBERS = ["Requests/s", "Errors", "p50", "p99", "In flight", "Queue", "Share", "Age"];
const HEAD = ["Worker", "Service", "Version", "Health", ...NUMBERS];

export function create() {
  const search = h("input", { type: "search", placeholder: "Address, service, version, node …", "aria-label": "Filter workers" });
  const troubled = h("input", { type: "checkbox" });
  const tools = h("div", { class: "tools" }, search, h("label", {}, troubled, " only those with something unusual"));
  const head = HEAD.map((name) => h("th", { scope: "col", class: NUMBERS.includes(name) ? "right" : "" }, name));
  const header = h("thead", {}, h("tr", {}, head));
  const table = h("table", { class: "stack" }, h("caption", { class: "hidden" }, title), header);
  const empty = h("p", { class: "empty" }, "No worker matches.");
  const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of workers" }, table);
  const hint = h(
    "p",
    { class: "soft hint" },
    "A client that leaves a worker out after failures does so by itself and tells nobody, so it is not shown here.",
  );
  const element = h("section", { "aria-label": title }, tools, scroll, hint, empty);
  const opened = new Map(); // the histories of the workers that are unfolded, by their keys
  let state = {};
  const fold = (worker) => {
    if (opened.delete(key(worker))) return show(state);
    opened.set(key(worker), { at: [] });
    show(state);
  };
  const show = (now) => {
    state = now;
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const workers = (state.summary?.services ?? [])
      .flatMap((service) => service.workers)
      .filter((worker) => !troubled.checked || worker.notes.length || worker.health !== "passing")
      .filter((worker) => words.every((word) => text(worker).includes(word)))
      .sort((one, other) => ORDER.compare(one.service, other.service) || ORDER.compare(one.address, other.address));
    for (const worker of workers) if (opened.has(key(worker))) prolong(worker);
    const items = workers.map((worker) => ({ ...worker, drawn: drawn(opened.get(key(worker))) }));
    keyed(table, items, key, (worker) => rows(worker, opened.get(key(worker)), () => fold(worker)), header);
    scroll.hidden = hint.hidden = !workers.length;
    empty.hidden = workers.length > 0;
  };
  const prolong = async (worker) => {
    const known = opened.get(key(worker));
    const seen = JSON.stringify(worker.figures);
    if (known.asked === seen) return;
    known.asked = seen;
    try {
      const history = await ofWorker(worker.service, worker.id);
      if (opened.has(key(worker))) opened.set(key(worker), { ...history, asked: seen });
      show(state);
    } catch {
      // the next change of its figures asks again
    }
  };
  search.addEventListener("input", () => show(state));
  troubled.addEventListener("change", () => show(state));
  return { element, show };
}

/** What changes when the charts of a history do; null for a worker that is folded. */
function drawn(history) {
  if (!history) return null;
  return history.requests_per_s ? (history.at.at(-1) ?? "empty") : "asked for";
}

function key({ service, id }) {
  return `${service} ${id}`;
}

function text({ address, service, version, node, id, health, tags, figures }) {
  return [address, service, version, node, id, health, figures?.engine, ...tags].join(" ").toLowerCase();
}

/** The rows of one worker: its own, one with what is unusual, and one with its history where that is unfolded. */
function rows(worker, history, fold) {
  const said = notes(worker.notes);
  const across = (...children) => h("tr", { class: "more" }, h("td", { colspan: HEAD.length }, children));
  return h(
    "tbody",
    {},
    row(worker, history, fold),
    said ? across(said) : null,
    history ? across(details(history)) : null,
  );
}

function row(worker, history, fold) {
  const cell = (label, attributes, ...children) => h("td", { "data-label": label, ...attributes }, ...children);
  const numbers = [
    ["Share", worker.handed_out ? percent(worker.share_percent) : "none"],
    ["Age", age(worker.figures?.started_at)],
  ];
  const unfold = h(
    "button",
    { type: "button", class: "link", "aria-expanded": String(!!history), "data-focus": "unfold", onclick: fold },
    worker.scheme === "https" ? `https://${worker.address}` : worker.address,
  );
  return h(
    "tr",
    {},
    h("td", { class: "address" }, unfold, worker.node ? h("bdi", { class: "under" }, worker.node) : null),
    cell("Service", { class: "wide" }, h("bdi", {}, worker.service)),
    cell("Version", {}, h("bdi", {}, worker.version || UNKNOWN), under(worker.figures?.engine)),
    cell("Health", { class: "health" }, badge(worker.health, KINDS[worker.health] ?? ""), under(handed(worker))),
    [...told(worker.figures), ...numbers].map(([label, value]) => cell(label, { class: "right number" }, value)),
  );
}

function told(figures) {
  const { requests_per_s, errors, p50_s, p99_s, in_flight, queue } = figures ?? {};
  return [
    ["Requests/s", rate(requests_per_s)],
    ["Errors", errors > 0 ? h("span", { class: "bad" }, part(errors)) : part(errors)],
    ["p50", seconds(p50_s)],
    ["p99", seconds(p99_s)],
    ["In flight", String(in_flight ?? UNKNOWN)],
    ["Queue", String(queue ?? UNKNOWN)],
  ];
}

/** A second line in a cell, if there is one to write. */
function under(line) {
  return line ? h("bdi", { class: "under" }, line) : null;
}

/** Why a worker that seems healthy is not handed out, or why one is that does not. */
function handed({ health, handed_out, figures }) {
  const serving = health === "passing" || health === "warning";
  if (handed_out && !serving) return "handed out all the same";
  if (!handed_out && serving) return "not handed out";
  return figures?.fault ? "tells no figures" : "";
}

function details(history) {
  if (!history.requests_per_s) return h("p", { class: "soft" }, "Asking for the last 15 minutes …");
  const queue = chart("Queue", history.at, [{ name: "Images that wait", values: history.queue }], String, { whole: true });
  const figures = charts(history);
  if (queue) figures.append(queue);
  return figures.childElementCount ? figures : h("p", { class: "soft" }, "Nothing is known of the last 15 minutes yet.");
}
