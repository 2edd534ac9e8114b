// The card of one model: its figures of the last minute, its batches, its versions.

import { chart } from "./chart.js";
import { badge, h, notes, wide } from "./dom.js";
import { ms, percent, rate as perSecond } from "./format.js";
import { figures, rates } from "./metrics.js";

const STATES = { AVAILABLE: ["serving", "good"], LOADING: ["loading", ""], START: ["being copied", ""], UNLOADING: ["finishing", "warn"], END: ["failed", "bad"] };

/** The state of the whole worker. */
export function state({ ready, leaving }) {
  if (leaving) return badge("draining", "warn");
  return ready ? badge("ready", "good") : badge("loading", "");
}

/** What the card shows, so that it is made again only if that changes; `make` makes it. */
export function card(name, said, readings) {
  const model = said.models?.[name];
  const now = readings.at(-1);
  const found = readings.length > 1 ? figures(readings[0], now, name) : null;
  const shown = {
    name,
    tiles: tiles(found, now?.models.get(name)),
    rates: rates(readings, name).map((rate) => Number(rate.toPrecision(3))),
    at: readings.slice(1).map(({ at }) => Math.round(at - now.at)), // whole seconds, so that a quiet card stays as it is
    sizes: found?.sizes ?? [],
    batch: found?.batch ?? null,
    versions: (model?.versions ?? []).map((version) => essence(version, model)),
    alone: Object.keys(said.models ?? {}).length < 2,
  };
  return { ...shown, make: () => element(shown) };
}

function tiles(found, now) {
  const time = (value) => (value == null ? "–" : ms(value));
  return [
    ["Requests/s", found ? perSecond(found.rate) : "…", ""],
    ["Errors", found ? percent(found.errors) : "…", found?.errors > 0 ? "bad" : ""],
    ["p50", found ? time(found.p50) : "…", ""],
    ["p99", found ? time(found.p99) : "…", ""],
    ["Waiting", now ? String(now.waiting) : "…", ""],
    ["Batch", found ? (found.batch == null ? "–" : found.batch.toFixed(1)) : "…", ""],
    ["Refused", found ? String(found.refused) : "…", found?.refused > 0 ? "warn" : ""],
  ];
}

function essence(version, { default: chosen, labels }) {
  const { version: number, state, error, engine, device, precision, classes, input, platform, trouble, steps } = version;
  const names = Object.entries(labels ?? {}).filter(([, one]) => one === number).map(([name]) => name);
  return { number, state, error, engine, device, precision, classes, input, platform, trouble, steps, names, chosen: number === chosen };
}

function element({ name, tiles, at, rates, sizes, batch, versions, alone }) {
  return h(
    "article",
    { class: "card model" },
    h("h3", { class: alone ? "hidden" : "", dir: "auto" }, name),
    h("dl", { class: "tiles" }, tiles.map(([label, value, kind]) => h("div", { class: kind }, h("dt", {}, label), h("dd", { class: "number" }, value)))),
    chart("Requests/s", at, [{ name: "Requests per second", values: rates }], perSecond, { minutes: 1 }),
    sizes.length ? distribution(sizes, batch) : null,
    versions.length ? table(versions) : null,
  );
}

/** How large batches were: a bar for each range of sizes that occurred. */
function distribution(sizes, batch) {
  const shown = sizes.filter(({ percent: part }) => part > 0);
  const range = ({ from, to }) => (to === Infinity ? `over ${from}` : to - from <= 1 ? String(to) : `${from + 1} to ${to}`);
  return h(
    "div",
    { class: "sizes" },
    h("h4", {}, "Images in a batch"),
    h(
      "ul",
      { "aria-label": `Images in a batch, ${batch.toFixed(1)} on average` },
      shown.map((each) =>
        h(
          "li",
          {},
          h("span", { class: "number" }, range(each)),
          h("span", { class: "bar", "aria-hidden": "true" }, wide(h("i"), each.percent)),
          h("span", { class: "number" }, percent(each.percent)),
        ),
      ),
    ),
  );
}

function table(versions) {
  const head = ["Version", "State", "Engine", "Device", "Precision", "Classes", "Input"];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Versions" },
    h(
      "table",
      { class: "stack" },
      h("caption", { class: "hidden" }, "Versions"),
      h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, versions.map(row)),
    ),
  );
}

function row(version) {
  const cell = (label, ...children) => h("td", { "data-label": label, class: "wide" }, ...children);
  const [word, kind] = STATES[version.state] ?? [version.state, ""];
  const names = version.names.filter((name) => name !== "latest");
  return h(
    "tr",
    {},
    cell("Version", h("strong", {}, h("bdi", {}, version.number)), names.length ? h("span", { class: "soft" }, ` ${names.join(", ")}`) : null),
    cell("State", badge(word, kind), notes([version.error, version.trouble].filter(Boolean))),
    cell("Engine", h("bdi", {}, version.engine ?? "–"), version.steps ? h("span", { class: "soft" }, ` ${version.steps.map((step) => step.name).join(" → ")}`) : null),
    cell("Device", h("bdi", {}, version.device ?? "–")),
    cell("Precision", version.precision ?? "–"),
    cell("Classes", version.classes == null ? "–" : String(version.classes)),
    cell("Input", size(version)),
  );
}

function size({ input, state }) {
  if (!input) return state === "AVAILABLE" ? "tensors" : "–";
  return input.size ? `${input.size[1]} × ${input.size[0]}` : "any size";
}
