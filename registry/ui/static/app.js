// Starts the page: one state, filled by two streams of the lookup service, shown by the view that the address names.

import { follow } from "./api.js";
import * as events from "./events.js";
import * as services from "./services.js";
import { Histories } from "./histories.js";
import { signIn } from "./sign-in.js";
import * as attempt from "./try.js";
import * as workers from "./workers.js";

const EVENTS_AT_MOST = 1000;
const VIEWS = { services, workers, events, try: attempt };
const state = { summary: null, events: [], histories: new Histories(() => show()) };
const main = document.querySelector("main");
const connection = document.querySelector("#connection");
let view = null;
let asked = false;

function show() {
  if (view && !asked) {
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      view?.show(state);
    });
  }
}

function open() {
  const name = location.hash.slice(1);
  if (name === "content") return main.focus();
  const chosen = Object.hasOwn(VIEWS, name) ? name : "services";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS[chosen].title} · p2p-serving`;
  view = VIEWS[chosen].create();
  main.replaceChildren(view.element);
  show();
}

function connected(now, refusal) {
  connection.dataset.state = now;
  const said = { live: "live", lost: "The lookup service does not answer; trying again …", refused: "not signed in" };
  if (connection.textContent !== said[now]) connection.textContent = said[now];
  if (now === "refused") logIn(refusal);
}

function logIn(refusal) {
  view = null;
  signIn(main, {
    title: "Operators only",
    label: "Token",
    refusal,
    then: () => {
      open();
      start();
    },
  });
}

function start() {
  follow("/summary", (said, name) => {
    state.summary = name === "changes" ? changed(state.summary, said) : said;
    state.histories.take(state.summary, { anew: name !== "changes" });
    show();
  }, connected);
  follow("/events", (event) => {
    if (state.events.some((known) => known.number === event.number)) state.events = []; // the log of another process
    state.events = [...state.events, event].slice(-EVENTS_AT_MOST);
    show();
  }, () => {});
}

/** The summary after changes: of a service that has changed, `changed` are its new workers and `gone` the ids of old ones. */
function changed(summary, said) {
  const services = new Map(summary.services.map((service) => [service.name, service]));
  for (const { changed: fresh, gone, ...service } of said.services) {
    const workers = new Map((services.get(service.name)?.workers ?? []).map((worker) => [worker.id, worker]));
    for (const worker of fresh) workers.set(worker.id, worker);
    for (const id of gone) workers.delete(id);
    services.set(service.name, { ...service, workers: [...workers.values()] });
  }
  for (const name of said.gone) services.delete(name);
  return { services: [...services.values()].sort((one, other) => (one.name < other.name ? -1 : 1)) };
}

window.addEventListener("hashchange", open);
open();
start();
