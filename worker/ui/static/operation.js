// One operation of the HTTP interface: what it takes and answers. Its form is made when it is opened.

import { h } from "./dom.js";
import { jsonText, schemaText } from "./schema.js";
import { requestForm } from "./request-form.js";

/** The element, closed at first, and the text by which it is found. */
export function operationCard(operation, description) {
  const { method, path, summary = "" } = operation;
  const id = `${method}-${path}`;
  const body = h("div", { class: "operation" });
  const element = h(
    "details",
    { id, class: "card" },
    h("summary", {}, h("span", { class: `badge method ${method === "POST" ? "good" : ""}` }, method), h("code", { dir: "ltr" }, path), h("span", { class: "soft" }, summary)),
    body,
  );
  element.addEventListener("toggle", () => {
    if (element.open && !body.childElementCount) body.append(...parts(operation, description, id).filter(Boolean));
  });
  return { element, text: `${method} ${path} ${summary}`.toLowerCase() };
}

function parts(operation, description, id) {
  const { parameters = [], requestBody, responses = {} } = operation;
  return [
    h("p", {}, h("a", { href: `#${encodeURIComponent(id)}` }, "Link to this operation")),
    parameters.length ? parameterTable(parameters, `Parameters of ${id.replace("-", " ")}`) : null,
    requestBody ? h("div", {}, h("h4", {}, "Body"), contents(requestBody.content, description)) : null,
    h("div", {}, h("h4", {}, "Answers"), h("ul", { class: "answers" }, Object.entries(responses).map(([status, each]) => answer(status, each, description)))),
    requestForm(operation),
  ];
}

function parameterTable(parameters, title) {
  const rows = parameters.map(({ name, in: place, required, description, schema = {} }) =>
    h(
      "tr",
      {},
      h("td", { class: "address" }, name, required ? h("span", { class: "soft" }, " (needed)") : null),
      h("td", { "data-label": "In" }, place),
      h("td", { "data-label": "Type" }, [schema.type, schema.pattern, schema.enum?.join(" | ")].filter(Boolean).join(", ")),
      h("td", { "data-label": "Meaning", class: "wide" }, description ?? ""),
    ),
  );
  const head = ["Parameter", "In", "Type", "Meaning"].map((each) => h("th", { scope: "col" }, each));
  const table = h("table", { class: "stack" }, h("caption", { class: "hidden" }, title), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, table);
}

function answer(status, { description: says, content }, description) {
  const known = Object.entries(content ?? {}).some(([, { schema }]) => schema && !status.startsWith("4") && !status.startsWith("5"));
  return h(
    "li",
    {},
    h("span", { class: `badge ${status < "300" ? "good" : status < "400" ? "" : "warn"}` }, status),
    h("span", {}, ` ${says}`),
    known ? contents(content, description) : null,
  );
}

/** Each media type with its schema and its example. */
function contents(content, description) {
  return h("div", { class: "contents" }, Object.entries(content ?? {}).map(([media, { schema, example }]) =>
    h(
      "div",
      {},
      h("code", {}, media),
      schema ? h("pre", { tabindex: "0", "aria-label": `Schema of ${media}` }, schemaText(schema, description)) : null,
      example ? h("pre", { tabindex: "0", "aria-label": "Example" }, jsonText(example)) : null,
    ),
  ));
}
