// The facts about a worker's process: how long it has run, and what it uses.

import { bytes, duration } from "./format.js";

/** Names and values, in the order in which they are shown. */
export function processFacts(readings, said) {
  const now = readings.at(-1);
  const facts = [["Address", location.host]];
  if (now?.uptime != null) facts.push(["Uptime", duration(now.uptime)]);
  if (now?.inFlight != null) facts.push(["Requests in flight", String(now.inFlight)]);
  const before = readings.at(0);
  if (now?.cpu != null && now !== before) {
    facts.push(["Processor", `${Math.max(0, (now.cpu - before.cpu) / (now.at - before.at)).toFixed(2)} cores`]);
  }
  if (now?.memory != null) facts.push(["Memory", bytes(now.memory)]);
  if (said.boot) facts.push(["Boot id", said.boot.slice(0, 8)]);
  return facts;
}
