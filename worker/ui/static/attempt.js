// "Try it": a photo goes to this worker; its labels and the time line come back, with the lines that do the same.

import { headers, signedIn } from "./api.js";
import { h } from "./dom.js";
import { ms } from "./format.js";
import { failure, labels, lines, photoPlace, post, quoted, showUpload, timeLine } from "./photo.js";

/** The section, and `show`, which is told what /readyz says. */
export function tryIt() {
  const place = photoPlace(async (photo, result) => {
    const began = performance.now();
    try {
      const said = await post("../?top=5&timings=1", photo, {
        headers: headers(),
        progress: showUpload(result, photo),
        unreachable: "The worker does not answer.",
      });
      result.replaceChildren(
        h("h3", { dir: "auto" }, photo.name),
        h("p", { class: "soft" }, `Answered within ${ms(performance.now() - began)}.`),
        labels(said.answer),
        ...timeLine([], said),
        ...both(photo),
      );
    } catch (error) {
      result.replaceChildren(failure(error), ...both(photo));
    }
  });
  const tensors = h("p", { class: "soft", hidden: true }, "The model takes tensors, not photos: ", h("a", { href: "../docs" }, "the HTTP interface"), " says how to send them.");
  const element = h("section", { "aria-label": "Try it" }, h("h2", {}, "Try it"), tensors, place);
  return {
    element,
    show({ model, models }) {
      const loaded = (models?.[model]?.versions ?? []).filter(({ state }) => state === "AVAILABLE");
      const only = loaded.length > 0 && loaded.every(({ input, inputs }) => !input && inputs);
      tensors.hidden = !only;
      place.hidden = only;
    },
  };
}

/** The same in a terminal and in Python; a token comes from the environment, so that no line holds it. */
function both(photo) {
  const url = `${new URL("../", location.href).href}?top=5`;
  const type = photo.type || "application/octet-stream";
  const permission = signedIn() ? ['-H "Authorization: Bearer $P2P_TOKEN" ', ', "Authorization": f"Bearer {os.environ[\'P2P_TOKEN\']}"'] : ["", ""];
  const python = [
    ...(signedIn() ? ["import os"] : []),
    "import urllib.request",
    "",
    `url = ${JSON.stringify(url)}`,
    `photo = open(${JSON.stringify(photo.name)}, "rb").read()`,
    `headers = {"Content-Type": ${JSON.stringify(type)}${permission[1]}}`,
    "request = urllib.request.Request(url, photo, headers)",
    "print(urllib.request.urlopen(request).read().decode())",
  ];
  return lines(`curl ${permission[0]}-F ${quoted(`data=@${photo.name}`)} ${quoted(url)}`, python.join("\n"));
}
