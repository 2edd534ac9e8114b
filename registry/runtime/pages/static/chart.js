// Small charts of the last minutes: lines as SVG, and the same in words for those who do not see them.

import { h } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 60;
const GAP_S = 45;

/**
 * A figure with one line for each of `lines`, `{ name, values }`, over the moments `at`; `format` writes a value, and
 * `whole` says that values are counts; the chart covers `minutes`. Null while there is nothing to draw.
 */
export function chart(title, at, lines, format, { whole = false, minutes = 15 } = {}) {
  const known = lines.flatMap(({ values }) => values.filter((value) => value != null));
  if (known.length < 2) return null;
  const top = ceiling(Math.max(...known), whole);
  const end = at.at(-1);
  const x = (moment) => (WIDTH * (1 - (end - moment) / (60 * minutes))).toFixed(1);
  const y = (value) => (HEIGHT - 2 - (HEIGHT - 6) * (value / top)).toFixed(1);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  drawing.append(svg("path", { class: "grid", d: `M0 ${y(top)}H${WIDTH}M0 ${y(top / 2)}H${WIDTH}M0 ${y(0)}H${WIDTH}` }));
  lines.forEach(({ values }, place) => {
    const runs = connected(at, values);
    if (lines.length === 1) {
      const areas = runs.map((run) => `${path(run, x, y)}L${x(run.at(-1)[0])} ${y(0)}L${x(run[0][0])} ${y(0)}Z`);
      drawing.append(svg("path", { class: "area", d: areas.join("") }));
    }
    drawing.append(svg("path", { class: `curve k${place}`, d: runs.map((run) => path(run, x, y)).join("") }));
  });
  const names = lines.length > 1 ? lines.map(({ name }, place) => h("span", { class: `k${place}` }, name)) : [];
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("span", {}, title, ...names), h("span", { class: "number" }, format(top)), words(lines, format, minutes)),
    drawing,
    h("p", { class: "span", "aria-hidden": "true" }, h("span", {}, `${minutes} min ago`), h("span", {}, "now")),
  );
}

/** What the lines show, in a sentence for each. */
function words(lines, format, minutes) {
  const sentences = lines.map(({ name, values }) => {
    const known = values.filter((value) => value != null);
    if (!known.length) return `${name}: nothing known.`;
    const now = values.at(-1) == null ? "not known" : format(values.at(-1));
    return `${name}: now ${now}, in ${minutes === 1 ? "a minute" : `${minutes} minutes`} between ${format(Math.min(...known))} and ${format(Math.max(...known))}.`;
  });
  return h("span", { class: "hidden" }, ` ${sentences.join(" ")}`);
}

/** The points in runs without a gap; a point alone is a run of two, so that it is seen. */
function connected(at, values) {
  const runs = [];
  let before = null;
  at.forEach((moment, place) => {
    const value = values[place];
    if (value == null) return;
    if (before != null && moment - before <= GAP_S) runs.at(-1).push([moment, value]);
    else runs.push([[moment, value]]);
    before = moment;
  });
  return runs.map((run) => (run.length > 1 ? run : [run[0], [run[0][0] + 2, run[0][1]]]));
}

function path(run, x, y) {
  return run.map(([moment, value], place) => `${place ? "L" : "M"}${x(moment)} ${y(value)}`).join("");
}

/** The least of 1, 2, 5, 10, ... of some power of ten that is not below the value. */
function ceiling(value, whole) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const found = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= value * 0.999);
  return whole ? Math.max(1, found) : found;
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
