// Starts the page of the HTTP interface: the operations that /openapi.json describes, grouped and searchable.

import { Refused, ask } from "./api.js";
import { h } from "./dom.js";
import { operationCard } from "./operation.js";
import { byTag } from "./schema.js";
import { signIn } from "./sign-in.js";

const GROUPS = {
  article: "Images in, labels out",
  tfserving: "TensorFlow Serving",
  openinference: "Open Inference Protocol",
  operation: "Operation",
  page: "Web pages",
};
const main = document.querySelector("main");

async function start() {
  let description;
  try {
    description = await (await ask("openapi.json")).json();
  } catch (error) {
    if (!(error instanceof Refused) || (error.status !== 401 && error.status !== 403)) {
      return main.replaceChildren(h("p", { class: "error" }, error.message));
    }
    return signIn(main, { title: "Callers only", label: "Token or ticket", refusal: error, then: start });
  }
  show(description);
}

function show(description) {
  const search = h("input", { type: "search", placeholder: "Path or words …", "aria-label": "Filter operations" });
  const groups = byTag(description).map(([tag, operations]) => group(tag, operations, description));
  const empty = h("p", { class: "empty", hidden: true }, "No operation matches.");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { element, cards } of groups) {
      for (const { element: card, text } of cards) card.hidden = !words.every((word) => text.includes(word));
      element.hidden = cards.every(({ element: card }) => card.hidden);
    }
    empty.hidden = groups.some(({ element }) => !element.hidden);
  });
  main.replaceChildren(
    h("div", { class: "tools" }, h("h2", { class: "name" }, "HTTP interface"), h("span", { class: "soft" }, `version ${description.info?.version ?? ""}`), search),
    ...groups.map(({ element }) => element),
    empty,
  );
  reveal();
}

function group(tag, operations, description) {
  const cards = operations.map((operation) => operationCard(operation, description));
  const element = h("section", { class: "group", "aria-label": GROUPS[tag] ?? tag }, h("h3", {}, GROUPS[tag] ?? tag), cards.map(({ element: card }) => card));
  return { element, cards };
}

/** Opens the operation that the address names. */
function reveal() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
}

window.addEventListener("hashchange", reveal);
start();
