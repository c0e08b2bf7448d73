// Thumbnails: asked for when they come into sight, a few at a time, and let go with the view.

import * as api from "./api.js";
import { h } from "./dom.js";

const AT_ONCE = 4;
const waiting = [];
let running = 0;

export function thumbnail(studyUID, signal) {
  const place = h("div", { class: "thumb", "aria-hidden": "true" });
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    waiting.push(() => load(place, studyUID, signal));
    work();
  });
  seen.observe(place);
  signal?.addEventListener("abort", () => seen.disconnect());
  return place;
}

async function load(place, studyUID, signal) {
  // Out of the page by now: another page of the list is shown.
  if (signal?.aborted || !place.isConnected) return;
  try {
    const picture = h("img", { alt: "", src: URL.createObjectURL(await api.thumbnail(studyUID, signal)) });
    picture.addEventListener("load", () => URL.revokeObjectURL(picture.src));
    place.replaceChildren(picture);
  } catch {
    // What has no picture stays dark; the exam is listed all the same.
  }
}

async function work() {
  if (running >= AT_ONCE || !waiting.length) return;
  running += 1;
  await waiting.shift()();
  running -= 1;
  work();
}
