// A small line chart, drawn as SVG; what it shows is said in words, too.

import { h } from "./dom.js";
import { perSecond } from "./units.js";

const WIDTH = 300;
const HEIGHT = 40;

/** The line through `values`, the latest at the right. */
export function sparkline(values, label) {
  const most = Math.max(...values);
  const step = WIDTH / (values.length - 1);
  const y = (value) => (HEIGHT - 2 - (most ? (value / most) * (HEIGHT - 4) : 0)).toFixed(1);
  const points = values.map((value, place) => `${(place * step).toFixed(1)},${y(value)}`).join(" ");
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  chart.append(
    svg("polygon", { class: "under", points: `0,${HEIGHT} ${points} ${WIDTH},${HEIGHT}` }),
    svg("polyline", { class: "over", points, "vector-effect": "non-scaling-stroke" }),
  );
  const said = `${label}: at most ${perSecond(most)}, now ${perSecond(values.at(-1))}`;
  return h("figure", { class: "spark" }, chart, h("figcaption", { class: "soft" }, said));
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
