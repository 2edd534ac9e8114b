// The view in which a photo is labelled: look a worker up, send the photo straight to it, show what it says and when.

import { ask, headers } from "./api.js";
import { h, keyed } from "./dom.js";
import { ms } from "./format.js";
import { failure, labels, lines, photoPlace, post, quoted, showUpload, timeLine } from "./photo.js";

export const title = "Try it";

export function create() {
  const services = h("select", { "aria-label": "Service" });
  const place = photoPlace(async (photo, result) => {
    const service = services.value;
    const progress = showUpload(result, photo);
    try {
      result.replaceChildren(...answer(await classify(service, photo, progress), service));
    } catch (error) {
      result.replaceChildren(failure(error), ...both(service, photo.name));
    }
  });
  const tools = h("div", { class: "tools" }, h("label", {}, "Service ", services));
  return {
    element: h("section", { "aria-label": title }, tools, place),
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
  const said = await post(`${worker.scheme}://${worker.address}/?top=5&timings=1`, photo, {
    headers: worker.ticket ? { Authorization: `Bearer ${worker.ticket}` } : worker.auth === "token" ? headers() : {},
    progress,
    unreachable:
      `${worker.address} cannot be reached from this browser. Either it is not in this network, or it does not let ` +
      `this page ask: start it with --cors-origin ${location.origin}`,
  });
  return { ...said, worker: worker.address, name: photo.name, lookup: found - began, total: performance.now() - began };
}

function answer(said, service) {
  return [
    h("h2", {}, said.name),
    h("p", { class: "soft" }, `${said.worker} answered within ${ms(said.total)}.`),
    labels(said.answer),
    ...timeLine([{ name: "look up", took: said.lookup }], said),
    ...both(service, said.name),
  ];
}

/** The same in a terminal and in Python. */
function both(service, name) {
  return lines(
    `curl -F ${quoted(`data=@${name}`)} "$(curl -s ${location.origin}/next/${service})"`,
    `from p2pclient import Client\n\nwith Client("${location.origin}", service="${service}") as client:\n    print(client.classify(${JSON.stringify(name)}).labels)`,
  );
}
