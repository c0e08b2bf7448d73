// The pictures of one stack: what is shown first, then what will be shown next, a few at once.

import * as api from "./api.js";

const AT_ONCE = 4;
const AHEAD = 24;
const MOST_BYTES = 96 * 1024 * 1024;

export class Pictures {
  constructor(slices, onOver) {
    this.slices = slices;
    this.onOver = onOver;
    this.kept = new Map();
    this.running = new Map();
    this.bytes = 0;
    this.window = "default";
    this.size = 512;
  }

  key(index) {
    return `${index}/${this.size}/${this.window}`;
  }

  has(index) {
    return this.kept.has(this.key(index));
  }

  // The picture of a slice; a picture that was asked for already is not asked for again.
  get(index, { once = false } = {}) {
    const key = this.key(index);
    const kept = this.kept.get(key);
    if (kept) {
      this.kept.delete(key);
      this.kept.set(key, kept);
      return Promise.resolve(kept);
    }
    if (!this.running.has(key)) this.start(index, key, once);
    const task = this.running.get(key);
    return once || !task.once ? task.promise : task.promise.catch((error) => this.again(index, error));
  }

  // What is fetched ahead gives up at the first refusal; a slice that is looked at by now is worth more patience.
  again(index, error) {
    if (!(error instanceof api.Unavailable)) throw error;
    return this.get(index);
  }

  start(index, key, once) {
    const task = { index, once, abort: new AbortController() };
    const options = { size: this.size, window: this.window, signal: task.abort.signal, once };
    task.promise = api
      .picture(this.slices[index], options)
      .then((found) => {
        this.keep(key, found);
        return found;
      })
      .finally(() => this.running.get(key) === task && this.running.delete(key));
    this.running.set(key, task);
  }

  keep(key, found) {
    this.kept.set(key, found);
    this.bytes += found.blob?.size ?? 0;
    for (const [oldest, { blob }] of this.kept) {
      if (this.bytes <= MOST_BYTES) break;
      this.kept.delete(oldest);
      this.bytes -= blob?.size ?? 0;
    }
  }

  // Fetches what is around a slice, in the direction of the last step first.
  prefetch(index, direction) {
    this.wanted = this.around(index, direction);
    this.drop(index);
    this.pump();
  }

  around(index, direction) {
    const found = [];
    for (let step = 1; step <= AHEAD; step += 1) {
      found.push(index + step * direction);
      if (step <= AHEAD / 4) found.push(index - step * direction);
    }
    return found.filter((at) => at >= 0 && at < this.slices.length);
  }

  drop(index) {
    const near = new Set([index, ...this.wanted]);
    for (const [key, task] of this.running) {
      if (near.has(task.index) && key === this.key(task.index)) continue;
      this.running.delete(key);
      task.abort.abort();
    }
  }

  pump() {
    for (const index of this.wanted ?? []) {
      if (this.running.size >= AT_ONCE) return;
      if (this.has(index) || this.running.has(this.key(index))) continue;
      this.get(index, { once: true }).then(
        () => this.pump(),
        (error) => error instanceof api.Over && this.onOver(error),
      );
    }
  }

  clear() {
    this.wanted = [];
    for (const { abort } of this.running.values()) abort.abort();
    this.running.clear();
    this.kept.clear();
    this.bytes = 0;
  }
}
