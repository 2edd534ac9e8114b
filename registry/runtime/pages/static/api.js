// Asks the page's server: with a token where the server wants one. The token is kept in memory only.

let token = "";

/** Uses this token from now on. */
export function useToken(text) {
  token = text.trim();
}

/** Whether a token is in use. */
export function signedIn() {
  return token !== "";
}

/** The headers of every request. */
export function headers(more = {}) {
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

/** The refusal of a request, with its status and the server's own sentence. */
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** The response, if its status is one of success; else the refusal is thrown. */
export async function ask(path, more = {}, signal = undefined) {
  const response = await fetch(path, { headers: headers(more), signal, cache: "no-store" });
  if (!response.ok) throw new Refused(response.status, sentence(await response.text()));
  return response;
}

/** What an answer that reports an error says: the lookup service writes the sentence alone, a worker JSON. */
export function sentence(body) {
  try {
    return String(JSON.parse(body).error ?? body);
  } catch {
    return body.trim();
  }
}

/**
 * Follows server-sent events at `path`, for ever: `told` gets each event's data and name, `state` is told "live", "lost", and
 * "refused" with the refusal, which ends it. A fetch and not an EventSource, which cannot send a token.
 */
export async function follow(path, told, state) {
  let last = "";
  let pause = 250;
  for (;;) {
    try {
      const more = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const response = await ask(path, more);
      state("live");
      pause = 250;
      await read(response.body, (id, data, name) => {
        last = id || last;
        told(JSON.parse(data), name);
      });
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) return state("refused", error);
    }
    state("lost");
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(5000, pause * 2);
  }
}

/** Reads a stream of events until it ends. */
async function read(body, told) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const fields = part.split("\n").map((line) => line.split(/: (.*)/s));
      const field = (name) => fields.filter(([key]) => key === name).map(([, rest]) => rest).join("\n");
      if (field("data")) told(field("id"), field("data"), field("event"));
    }
  }
}
