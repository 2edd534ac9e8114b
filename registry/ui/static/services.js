// The view of services: how many workers are healthy, what they do, which versions get how much, and what is unusual.

import { chart } from "./chart.js";
import { badge, h, keyed, notes, wide } from "./dom.js";
import { count, part, percent, rate, seconds } from "./format.js";

export const title = "Services";

export function create() {
  const list = h("div", { class: "services" });
  const empty = h("p", { class: "empty", hidden: true }, "No service is known yet: start a worker with p2p worker.");
  const element = h("section", { "aria-label": title }, list, empty);
  return {
    element,
    show({ summary, histories }) {
      if (!summary) return;
      empty.hidden = summary.services.length > 0;
      const items = summary.services.map((service) => essence(service, histories.of(service.name)));
      keyed(list, items, (service) => service.name, (service) => card(service, histories.of(service.name)));
    },
  };
}

/** What the card shows of a service, so that it is made again only if that changes. */
function essence({ workers, stale_s, panic, rollout, ...shown }, history) {
  return { ...shown, panic: !!panic, stale: stale_s != null, drawn: history?.at.at(-1) ?? 0 };
}

function card(service, history) {
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
    service.figures ? figures(service.figures) : null,
    service.figures && history?.requests_per_s ? charts(history) : null,
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

function figures({ requests_per_s, errors, p50_s, p99_s }) {
  const shown = [["Requests/s", rate(requests_per_s)], ["Errors", part(errors)], ["p50", seconds(p50_s)], ["p99", seconds(p99_s)]];
  return h(
    "dl",
    { class: "figures" },
    shown.map(([name, value]) => {
      const bad = name === "Errors" && errors > 0;
      return h("div", {}, h("dt", {}, name), h("dd", { class: bad ? "number bad" : "number" }, value));
    }),
  );
}

/** The charts of a history: requests, and times. */
export function charts({ at, requests_per_s, p50_s, p99_s }) {
  const times = [{ name: "p50", values: p50_s }, { name: "p99", values: p99_s }];
  return h(
    "div",
    { class: "charts" },
    chart("Requests/s", at, [{ name: "Requests per second", values: requests_per_s }], rate),
    chart("Times", at, times, seconds),
  );
}

function shares(versions) {
  const bar = h("div", { class: "shares", "aria-hidden": "true" });
  bar.append(...versions.map((each, place) => wide(h("i", { class: `c${place % 5}` }), each.share_percent)));
  return h("div", {}, bar, h("ul", { class: "versions" }, versions.map(version)));
}

function version(each, place, all) {
  const told = each.figures;
  return h(
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
    told && all.length > 1
      ? h(
          "span",
          { class: "number soft told" },
          [`${rate(told.requests_per_s)}/s`, `errors ${part(told.errors)}`, `p50 ${seconds(told.p50_s)}`, `p99 ${seconds(told.p99_s)}`]
            .map((words) => words.replaceAll(" ", "\u00a0"))
            .join(" · "),
        )
      : null,
  );
}
