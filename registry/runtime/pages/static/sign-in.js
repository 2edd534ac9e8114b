// The form in which a page asks for a token. The token goes into the page's memory and nowhere else.

import { useToken } from "./api.js";
import { h } from "./dom.js";

/** Shows the form in `main`, with the server's refusal; `then` is called when a token was given. */
export function signIn(main, { title, label, refusal, then }) {
  if (main.querySelector(".login")) return;
  const input = h("input", { type: "password", autocomplete: "off", required: true, "aria-describedby": "why" });
  const form = h(
    "form",
    { class: "login card" },
    h("h2", {}, title),
    h("p", { id: "why" }, refusal.message),
    h("label", {}, label, input),
    h("p", { class: "soft" }, "It stays in this page's memory: closing or reloading the page forgets it."),
    h("button", {}, "Sign in"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(input.value);
    then();
  });
  main.replaceChildren(form);
  input.focus();
}
