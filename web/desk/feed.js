// The change feed: one reader for the page, from the moment of signing in; views listen.

import * as api from "./api.js";
import { session } from "./session.js";

const EVERY = 3000;
const HIDDEN = 30_000;
const SLOWEST = 60_000;
const KEPT = 200;

const listeners = new Set();
// What has happened since, the newest first.
export const happened = [];
let reader = null;

// Calls `listener` with each notification until `signal` ends.
export function listen(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener("abort", () => listeners.delete(listener));
}

export function start() {
  if (reader) return;
  reader = new AbortController();
  read(reader.signal);
}

export function stop() {
  reader?.abort();
  reader = null;
  happened.length = 0;
}

async function read(signal) {
  let cursor = "newest";
  let wait = 0;
  let failures = 0;
  while (!signal.aborted) {
    await rest(wait, signal);
    if (signal.aborted) return;
    wait = EVERY;
    if (!session()) continue;
    try {
      const page = await api.events(cursor, signal);
      cursor = page.next;
      page.events.forEach(tell);
      failures = 0;
      if (document.hidden) wait = HIDDEN;
    } catch (error) {
      // A cursor of a feed that was restored since: begin at its end.
      if (error.status === 409) cursor = "newest";
      failures += 1;
      wait = Math.min(EVERY * 2 ** failures, SLOWEST);
    }
  }
}

function tell(event) {
  happened.unshift(event);
  happened.length = Math.min(happened.length, KEPT);
  for (const listener of [...listeners]) listener(event);
}

// Also ends when the page is looked at again.
function rest(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", looked);
      resolve();
    }
    function looked() {
      if (!document.hidden) done();
    }
    document.addEventListener("visibilitychange", looked);
    signal.addEventListener("abort", done, { once: true });
  });
}
