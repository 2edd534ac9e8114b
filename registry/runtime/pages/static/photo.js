// Sends a photo to a worker and shows what comes back: labels as bars, and where the time went.

import { Refused, sentence } from "./api.js";
import { h, wide } from "./dom.js";
import { ms, percent } from "./format.js";

/** A place to drop a photo, or to choose one, and a place for the answer; `send(photo, result)` gets each photo. */
export function photoPlace(send) {
  const file = h("input", { type: "file", accept: "image/*", class: "hidden", id: "photo", tabindex: "-1" });
  const choose = h("button", { type: "button", onclick: () => file.click() }, "Choose a photo");
  const prompt = h("p", { class: "soft" }, "or drop one here");
  const preview = h("img", { alt: "The photo", hidden: true });
  const drop = h("div", { class: "drop" }, preview, choose, prompt, h("label", { class: "hidden", for: "photo" }, "Photo"), file);
  const result = h("div", { class: "card", "aria-live": "polite" }, h("p", { class: "soft" }, "The answer will stand here."));
  const take = (photo) => {
    if (!photo) return;
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(photo);
    preview.hidden = false;
    preview.onerror = () => (preview.hidden = true);
    send(photo, result);
  };
  file.addEventListener("change", () => take(file.files[0]));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  return h("div", { class: "try" }, drop, result);
}

/** Shows in `result` that the photo is being sent; returns what to call with the part that has been sent. */
export function showUpload(result, photo) {
  const bar = h("progress", { max: "1", value: "0", "aria-label": "Upload" });
  result.replaceChildren(h("p", {}, `Sending ${photo.name} …`), bar);
  return (part) => (bar.value = part);
}

/**
 * Posts to a worker at `url`: its answer, milliseconds of the upload and of waiting for the answer, the worker's own
 * stages. An XMLHttpRequest, because fetch does not tell how much is sent. `unreachable` is the error's sentence.
 */
export function post(url, photo, { headers, progress, unreachable }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const began = performance.now();
    let sent = began;
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    request.upload.onload = () => (sent = performance.now());
    request.onload = () => {
      const ended = performance.now();
      if (request.status !== 200) {
        return reject(new Refused(request.status, sentence(request.responseText) || `It answered ${request.status}.`));
      }
      const stages = timings(request.getResponseHeader("Server-Timing") ?? "");
      resolve({ answer: JSON.parse(request.responseText), upload: sent - began, wait: ended - sent, stages });
    };
    request.onerror = () => reject(new Error(unreachable));
    request.open("POST", url);
    request.setRequestHeader("Content-Type", photo.type || "application/octet-stream");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(photo);
  });
}

/** The stages that the worker has measured, from the header Server-Timing. */
function timings(text) {
  return text.split(", ").map((entry) => entry.match(/^([\w-]+);dur=([\d.]+)/)).filter(Boolean)
    .map(([, name, took]) => ({ name, took: Number(took) }));
}

/** Labels with scores as bars; the answer of a model that gives no labels as JSON. */
export function labels(answer) {
  if (!Array.isArray(answer) || !answer.every((pair) => Array.isArray(pair) && typeof pair[1] === "number")) {
    return h("pre", { tabindex: "0", "aria-label": "Answer" }, JSON.stringify(answer, null, 1).slice(0, 20000));
  }
  const rows = answer.map(([label, score]) =>
    h(
      "li",
      {},
      h("div", {}, h("strong", { dir: "auto" }, label), h("span", { class: "number" }, percent(100 * score))),
      h("div", { class: "bar", "aria-hidden": "true" }, wide(h("i"), 100 * score)),
    ),
  );
  return h("ol", { class: "labels" }, rows);
}

/**
 * Where the time went: `before` the request, on the way, and in the worker's own stages if it tells them. A browser
 * tells late that an upload has ended, so the two ways together have what the stages leave of the whole.
 */
export function timeLine(before, said) {
  const inside = said.stages.reduce((sum, stage) => sum + stage.took, 0);
  const ways = Math.max(0, said.upload + said.wait - inside);
  const upload = Math.min(said.upload, ways);
  const rest = { name: inside ? "way back" : "predict and answer", took: ways - upload };
  const parts = [...before, { name: "connect and upload", took: upload }, ...said.stages, rest];
  const total = parts.reduce((sum, part) => sum + part.took, 0) || 1;
  const bar = h("div", { class: "line", "aria-hidden": "true" });
  bar.append(...parts.map((part, place) => wide(h("i", { class: `c${place % 5}` }), (100 * part.took) / total)));
  const legend = parts.map((part, place) =>
    h("li", {}, h("i", { class: `swatch c${place % 5}`, "aria-hidden": "true" }), `${part.name} `, h("span", { class: "number" }, ms(part.took))),
  );
  return [bar, h("ul", { class: "legend" }, legend)];
}

/** The same in a terminal and in Python. */
export function lines(curl, python) {
  return [
    h("p", { class: "soft" }, "The same in a terminal, and in Python:"),
    h("pre", { tabindex: "0", "aria-label": "curl" }, curl),
    h("pre", { tabindex: "0", "aria-label": "Python" }, python),
  ];
}

/** A text in single quotes, as a shell reads it. */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A sentence about an error, with the status where a server has refused. */
export function failure(error) {
  return h("p", { class: "error" }, error instanceof Refused ? `${error.message} (status ${error.status})` : error.message);
}
