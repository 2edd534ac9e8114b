// The view of services: how many workers are healthy, which versions get how much, and what is unusual.

import { badge, h, keyed, notes, wide } from "./dom.js";
import { count, percent } from "./format.js";

export const title = "Services";

export function create() {
  const list = h("div", { class: "services" });
  const empty = h("p", { class: "empty", hidden: true }, "No service is known yet: start a worker with p2p worker.");
  const element = h("section", { "aria-label": title }, list, empty);
  return {
    element,
    show({ summary }) {
      if (!summary) return;
      empty.hidden = summary.services.length > 0;
      keyed(list, summary.services.map(essence), (service) => service.name, card);
    },
  };
}

/** What the card shows of a service, so that it is made again only if that changes. */
function essence({ name, known, total, healthy, handed_out, panic, stale_s, versions, notes, unusable }) {
  return { name, known, total, healthy, handed_out, panic: !!panic, stale: stale_s != null, versions, notes, unusable };
}

function card(service) {
  const said = [...service.notes, ...service.unusable.map(({ id, reason }) => `${id} is left out: ${reason}`)];
  return h(
    "article",
    { class: "card service" },
    h("div", {}, h("h2", { dir: "auto" }, service.name), state(service)),
    h(
      "div",
      { class: "count number" },
      String(service.healthy),
      h("small", {}, ` of ${count(service.total, "worker")} healthy`),
    ),
    service.versions.length ? shares(service.versions) : null,
    notes(said),
  );
}

function state({ known, total, healthy, panic, stale }) {
  if (!known) return badge("loading", "");
  if (!healthy) return badge(total ? "down" : "no workers", "bad");
  if (panic) return badge("panic", "bad");
  if (stale) return badge("stale", "warn");
  return healthy < total ? badge("degraded", "warn") : badge("healthy", "good");
}

function shares(versions) {
  const bar = h("div", { class: "shares", "aria-hidden": "true" });
  bar.append(...versions.map((each, place) => wide(h("i", { class: `c${place % 5}` }), each.share_percent)));
  const rows = versions.map((each, place) =>
    h(
      "li",
      {},
      h("i", { class: `swatch c${place % 5}`, "aria-hidden": "true" }),
      h("span", {}, "version ", h("bdi", {}, each.version), `, ${count(each.workers, "worker")}`),
      h(
        "span",
        { class: "number" },
        percent(each.share_percent),
        each.shadow_percent ? h("span", { class: "soft" }, `, copies of ${percent(each.shadow_percent)}`) : null,
      ),
    ),
  );
  return h("div", {}, bar, h("ul", { class: "versions" }, rows));
}
