// The view of workers: where each is, what it serves, its share of the lookups, and why it is not healthy.

import { badge, h, keyed, notes } from "./dom.js";
import { percent } from "./format.js";

export const title = "Workers";

const ORDER = new Intl.Collator("en", { numeric: true });
const KINDS = { passing: "good", warning: "warn", critical: "bad", maintenance: "warn" };

export function create() {
  const search = h("input", { type: "search", placeholder: "Address, service, version, node …", "aria-label": "Filter workers" });
  const troubled = h("input", { type: "checkbox" });
  const tools = h("div", { class: "tools" }, search, h("label", {}, troubled, " only those with something unusual"));
  const head = ["Worker", "Service", "Version", "Health", "Share", "Weight", "Node"];
  const body = h("tbody");
  const table = h(
    "table",
    { class: "stack" },
    h("caption", { class: "hidden" }, title),
    h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col", class: right(name) }, name)))),
    body,
  );
  const empty = h("p", { class: "empty" }, "No worker matches.");
  const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of workers" }, table);
  const element = h("section", { "aria-label": title }, tools, scroll, empty);
  let state = {};
  const show = (now) => {
    state = now;
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const workers = (state.summary?.services ?? [])
      .flatMap((service) => service.workers)
      .filter((worker) => !troubled.checked || worker.notes.length || worker.health !== "passing")
      .filter((worker) => words.every((word) => text(worker).includes(word)))
      .sort((one, other) => ORDER.compare(one.service, other.service) || ORDER.compare(one.address, other.address));
    keyed(body, workers, (worker) => `${worker.service} ${worker.id}`, row);
    scroll.hidden = !workers.length;
    empty.hidden = workers.length > 0;
  };
  search.addEventListener("input", () => show(state));
  troubled.addEventListener("change", () => show(state));
  return { element, show };
}

function right(name) {
  return name === "Share" || name === "Weight" ? "right" : "";
}

function text({ address, service, version, node, id, health, tags }) {
  return [address, service, version, node, id, health, ...tags].join(" ").toLowerCase();
}

function row(worker) {
  const cell = (label, attributes, ...children) => h("td", { "data-label": label, ...attributes }, ...children);
  return h(
    "tr",
    {},
    h("td", { class: "address" }, worker.scheme === "https" ? `https://${worker.address}` : worker.address),
    cell("Service", { class: "wide" }, h("bdi", {}, worker.service)),
    cell("Version", { class: "wide" }, h("bdi", {}, worker.version || "–")),
    cell("Health", { class: "wide health" }, badge(worker.health, KINDS[worker.health] ?? ""), notes(worker.notes)),
    cell("Share", { class: "right number" }, worker.handed_out ? percent(worker.share_percent) : "none"),
    cell("Weight", { class: "right number" }, String(worker.weight)),
    cell("Node", { class: "wide" }, h("bdi", {}, worker.node || "–")),
  );
}
