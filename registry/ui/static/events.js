// The view of events: what has happened to workers, versions and services, the latest first.

import { badge, h, keyed } from "./dom.js";
import { clock } from "./format.js";

export const title = "Events";

const BAD = ["critical", "version-failed", "panic-on", "stale"];
const GOOD = ["joined", "healthy", "undrained", "version-loaded", "panic-off", "fresh"];

export function create() {
  const search = h("input", { type: "search", placeholder: "Words in an event …", "aria-label": "Filter events" });
  const kinds = h("select", { "aria-label": "Kind of event" }, h("option", { value: "" }, "all kinds"));
  const list = h("ol", { class: "events card" });
  const empty = h("p", { class: "empty" }, "Nothing has happened yet.");
  const element = h("section", { "aria-label": title }, h("div", { class: "tools" }, search, kinds), list, empty);
  let state = { events: [] };
  const show = (now) => {
    state = now;
    const known = new Set([...kinds.options].map((option) => option.value));
    for (const { kind } of state.events) {
      if (!known.has(kind)) kinds.append(h("option", { value: kind }, kind.replaceAll("-", " ")));
      known.add(kind);
    }
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = state.events
      .filter((event) => !kinds.value || event.kind === kinds.value)
      .filter((event) => words.every((word) => `${event.text} ${event.service} ${event.worker}`.toLowerCase().includes(word)))
      .toReversed();
    keyed(list, shown, (event) => event.number, item);
    list.hidden = !shown.length;
    empty.hidden = shown.length > 0;
    empty.textContent = state.events.length ? "No event matches." : "Nothing has happened yet.";
  };
  search.addEventListener("input", () => show(state));
  kinds.addEventListener("change", () => show(state));
  return { element, show };
}

function item({ at, time, kind, text }) {
  const colour = BAD.includes(kind) ? "bad" : GOOD.includes(kind) ? "good" : "";
  return h(
    "li",
    {},
    h("time", { datetime: time, title: time }, clock(at)),
    h("span", {}, badge(kind.replaceAll("-", " "), colour)),
    h("span", { dir: "auto" }, text),
  );
}
