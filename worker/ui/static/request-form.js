// The form that sends an operation's request to this worker, and shows what it answers.

import { headers, sentence } from "./api.js";
import { h } from "./dom.js";
import { ms } from "./format.js";
import { jsonText, target } from "./schema.js";

const SHOWN = 20000;
const BYTES = "application/octet-stream";
const JSON_TYPE = "application/json";

/** The form: a field for each parameter, a file or a text for the body. */
export function requestForm({ method, path, parameters = [], requestBody }) {
  const media = Object.keys(requestBody?.content ?? {});
  const fields = parameters.map((each) => [each, field(each)]);
  const example = requestBody?.content?.[JSON_TYPE]?.example;
  const text = media.includes(JSON_TYPE) ? h("textarea", { rows: 8, spellcheck: "false" }) : null;
  const file = !text && media.includes(BYTES) ? h("input", { type: "file", required: true }) : null;
  if (text) text.value = jsonText(example ?? {});
  const result = h("div", { "aria-live": "polite" });
  const button = h("button", {}, "Send");
  const form = h(
    "form",
    { class: "send", "aria-label": `Send ${method} ${path}` },
    h("h4", {}, "Send it"),
    h(
      "div",
      { class: "fields" },
      fields.map(([{ name }, input]) => h("label", {}, name, input)),
      file ? h("label", { class: "whole" }, "Body: a file", file) : null,
      text ? h("label", { class: "whole" }, "Body", text) : null,
    ),
    h("div", {}, button),
    result,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const values = Object.fromEntries(fields.map(([{ name }, input]) => [name, input.value]));
    const sent = Object.fromEntries(parameters.filter(({ in: place, name }) => place === "header" && values[name]).map(({ name }) => [name, values[name]]));
    const body = file ? file.files[0] : text?.value;
    if (body !== undefined) sent["Content-Type"] = file ? body.type || BYTES : JSON_TYPE;
    result.replaceChildren(...(await exchange(target(path, parameters, values), { method, body, headers: headers(sent) })));
    button.disabled = false;
  });
  return form;
}

function field({ name, required, schema = {} }) {
  const choices = schema.enum;
  if (choices?.length) return h("select", { required }, choices.map((each) => h("option", { value: each }, each)));
  const input = h("input", { type: "text", required, autocomplete: "off", placeholder: schema.pattern ? "" : (schema.examples?.[0] ?? "") });
  if (required && schema.examples?.length) input.value = schema.examples[0];
  return input;
}

/** Sends the request; what to show of its answer. */
async function exchange(path, options) {
  const began = performance.now();
  let response;
  let body;
  try {
    response = await fetch(path, { ...options, cache: "no-store" });
    body = await response.text();
  } catch {
    return [h("p", { class: "error" }, "The worker does not answer.")];
  }
  const said = response.ok ? pretty(body) : sentence(body);
  const line = `${response.status} ${response.statusText}, ${response.headers.get("Content-Type") ?? "no body"}, within ${ms(performance.now() - began)}`;
  return [
    h("p", {}, h("span", { class: `badge ${response.ok ? "good" : "bad"}` }, String(response.status)), ` ${line.slice(4)}`),
    said ? h("pre", { tabindex: "0", "aria-label": "Answer" }, said.length > SHOWN ? `${said.slice(0, SHOWN)}\n… and ${said.length - SHOWN} characters more` : said) : null,
  ].filter(Boolean);
}

function pretty(body) {
  try {
    return jsonText(JSON.parse(body));
  } catch {
    return body;
  }
}
