// Makes elements from plain values. Text only ever becomes text: nothing here, or anywhere, parses markup.

/** An element: `attributes` are set as they are, `on...` are listeners, children are elements, texts, or nothing. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** Sets a width in per cent; the page's policy allows no style attributes, but it allows this. */
export function wide(element, percent) {
  element.style.width = `${Math.max(0, Math.min(100, percent))}%`;
  return element;
}

/**
 * Keeps the children of `parent` those of `items`: an element is made again only if its item has changed, so that
 * focus, selection and scroll position stay where they are. What has the focus and is made again gets it back, if it has
 * a `data-focus`. The elements stand after `first`, a child of the parent, where one is given.
 */
export function keyed(parent, items, keyOf, make, first = null) {
  const known = parent.keyed ?? new Map();
  const next = new Map();
  let place = first ? first.nextSibling : parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const text = JSON.stringify(item);
    let entry = known.get(key);
    if (!entry || entry.text !== text) {
      const element = make(item);
      if (entry) {
        if (entry.element === place) place = element;
        const focused = entry.element.contains(document.activeElement) && document.activeElement.dataset.focus;
        entry.element.replaceWith(element);
        if (focused) element.querySelector(`[data-focus="${focused}"]`)?.focus({ preventScroll: true });
      }
      entry = { text, element };
    }
    if (entry.element === place) place = place.nextSibling;
    else parent.insertBefore(entry.element, place);
    next.set(key, entry);
  }
  for (const [key, entry] of known) if (next.get(key)?.element !== entry.element) entry.element.remove();
  parent.keyed = next;
}

/** A list of sentences about what is unusual; nothing if there are none. */
export function notes(sentences) {
  return sentences.length ? h("ul", { class: "notes" }, sentences.map((each) => h("li", {}, each))) : null;
}

/** A word in a coloured pill. */
export function badge(text, kind) {
  return h("span", { class: `badge ${kind}` }, text);
}
