// The view in which a photo is labelled: look a worker up, send the photo straight to it, show what it says and when.

import { Refused, ask, headers } from "./api.js";
import { h, keyed, wide } from "./dom.js";
import { ms, percent } from "./format.js";

export const title = "Try it";

export function create() {
  const services = h("select", { "aria-label": "Service" });
  const file = h("input", { type: "file", accept: "image/*", class: "hidden", id: "photo", tabindex: "-1" });
  const choose = h("button", { type: "button", onclick: () => file.click() }, "Choose a photo");
  const prompt = h("p", { class: "soft" }, "or drop one here");
  const preview = h("img", { alt: "The photo", hidden: true });
  const drop = h("div", { class: "drop" }, preview, choose, prompt, h("label", { class: "hidden", for: "photo" }, "Photo"), file);
  const result = h("div", { class: "card", "aria-live": "polite" }, h("p", { class: "soft" }, "The answer will stand here."));
  const element = h(
    "section",
    { "aria-label": title },
    h("div", { class: "tools" }, h("label", {}, "Service ", services)),
    h("div", { class: "try" }, drop, result),
  );

  const send = async (photo) => {
    if (!photo) return;
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(photo);
    preview.hidden = false;
    preview.onerror = () => (preview.hidden = true);
    const bar = h("progress", { max: "1", value: "0", "aria-label": "Upload" });
    result.replaceChildren(h("p", {}, `Sending ${photo.name} …`), bar);
    try {
      result.replaceChildren(...answer(await classify(services.value, photo, (part) => (bar.value = part)), services.value));
    } catch (error) {
      result.replaceChildren(h("p", { class: "error" }, sentence(error)), ...lines(services.value, photo.name));
    }
  };
  file.addEventListener("change", () => send(file.files[0]));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    send(event.dataTransfer.files[0]);
  });
  return {
    element,
    show({ summary }) {
      const names = (summary?.services ?? []).filter((service) => service.total).map((service) => service.name);
      keyed(services, names, (name) => name, (name) => h("option", { value: name }, name));
    },
  };
}

/** The two steps. The times are milliseconds: of looking up, and of all that was measured on the way. */
async function classify(service, photo, progress) {
  const began = performance.now();
  const response = await ask(`/next/${encodeURIComponent(service)}`, { Accept: "application/json" });
  const worker = await response.json();
  const found = performance.now();
  const said = await post(worker, photo, progress);
  return { ...said, worker: worker.address, name: photo.name, lookup: found - began, total: performance.now() - began };
}

/** Posts to the worker itself; an XMLHttpRequest, because fetch does not tell how much is sent. */
function post(worker, photo, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const began = performance.now();
    let sent = began;
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    request.upload.onload = () => (sent = performance.now());
    request.onload = () => {
      const ended = performance.now();
      const stages = timings(request.getResponseHeader("Server-Timing") ?? "");
      let body = {};
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // an answer that is no JSON is told by its status
      }
      if (request.status !== 200) return reject(new Refused(request.status, body.error ?? `It answered ${request.status}.`));
      resolve({ labels: body, upload: sent - began, answer: ended - sent, stages });
    };
    request.onerror = () => reject(new Error(
      `${worker.address} cannot be reached from this browser. Either it is not in this network, or it does not let this ` +
      `page ask: start it with --cors-origin ${location.origin}`,
    ));
    request.open("POST", `${worker.scheme}://${worker.address}/?top=5&timings=1`);
    request.setRequestHeader("Content-Type", photo.type || "application/octet-stream");
    const permission = worker.ticket ? { Authorization: `Bearer ${worker.ticket}` } : worker.auth === "token" ? headers() : {};
    for (const [name, value] of Object.entries(permission)) request.setRequestHeader(name, value);
    request.send(photo);
  });
}

/** The stages that the worker has measured, from the header Server-Timing. */
function timings(text) {
  return text.split(", ").map((entry) => entry.match(/^([\w-]+);dur=([\d.]+)/)).filter(Boolean)
    .map(([, name, took]) => ({ name, took: Number(took) }));
}

function answer(said, service) {
  const rows = said.labels.map(([label, score]) =>
    h(
      "li",
      {},
      h("div", {}, h("strong", { dir: "auto" }, label), h("span", { class: "number" }, percent(100 * score))),
      h("div", { class: "bar", "aria-hidden": "true" }, wide(h("i"), 100 * score)),
    ),
  );
  return [
    h("h2", {}, said.name),
    h("p", { class: "soft" }, `${said.worker} answered within ${ms(said.total)}.`),
    h("ol", { class: "labels" }, rows),
    ...timeLine(said),
    ...lines(service, said.name),
  ];
}

/** Where the time went: what the page has measured, with the worker's own stages in place of its answer if it tells. */
function timeLine(said) {
  const inside = said.stages.reduce((sum, stage) => sum + stage.took, 0);
  const rest = { name: inside ? "way back" : "predict and answer", took: Math.max(0, said.answer - inside) };
  const parts = [{ name: "look up", took: said.lookup }, { name: "connect and upload", took: said.upload }, ...said.stages, rest];
  const total = parts.reduce((sum, part) => sum + part.took, 0) || 1;
  const bar = h("div", { class: "line", "aria-hidden": "true" });
  bar.append(...parts.map((part, place) => wide(h("i", { class: `c${place % 5}` }), (100 * part.took) / total)));
  const legend = parts.map((part, place) =>
    h("li", {}, h("i", { class: `swatch c${place % 5}`, "aria-hidden": "true" }), `${part.name} `, h("span", { class: "number" }, ms(part.took))),
  );
  return [bar, h("ul", { class: "legend" }, legend)];
}

/** The same in a terminal and in Python. */
function lines(service, name) {
  const quoted = name.replaceAll("'", "'\\''");
  const curl = `curl -F 'data=@${quoted}' "$(curl -s ${location.origin}/next/${service})"`;
  const python = `from p2pclient import Client\n\nwith Client("${location.origin}", service="${service}") as client:\n    print(client.classify(${JSON.stringify(name)}).labels)`;
  return [
    h("p", { class: "soft" }, "The same in a terminal, and in Python:"),
    h("pre", { tabindex: "0", "aria-label": "curl" }, curl),
    h("pre", { tabindex: "0", "aria-label": "Python" }, python),
  ];
}

function sentence(error) {
  return error instanceof Refused ? `${error.message} (status ${error.status})` : error.message;
}
