// The pictures of one stack: what is looked at first, then what will be looked at next, a few at once.

import * as api from "./api.js";

// As many connections as a browser opens to one host; one of them is left for what is looked at.
const AT_ONCE = 6;
const AHEAD_AT_ONCE = AT_ONCE - 1;
const AHEAD = 24;
const MOST_BYTES = 96 * 1024 * 1024;
// Milliseconds: who stays so long on a slice looks at it; a picture takes about so long before one was fetched.
const REST = 120;
const TAKES_AT_FIRST = 400;

export class Pictures {
  constructor(slices, onOver) {
    this.slices = slices;
    this.onOver = onOver;
    this.kept = new Map();
    this.running = new Map();
    this.wanted = [];
    this.takes = TAKES_AT_FIRST;
    this.speed = 0;
    this.lookedAt = 0;
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

  // The picture of the slice that is looked at, and nothing once another one is: whoever leafs faster than pictures come
  // gets those that will be there in time, and the one on which the leafing ends.
  async look(index, direction) {
    const lead = this.lead(index);
    this.forgetOtherWindows();
    this.wanted = this.around(index, direction, lead);
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.rest(index, direction), REST);
    if (lead > 1 && !this.has(index)) {
      this.pump();
      await new Promise((resolve) => setTimeout(resolve, REST));
    }
    try {
      return await api.again(() => this.inTurn(index));
    } finally {
      this.pump();
    }
  }

  // How many slices are passed while a picture is on its way.
  lead(index) {
    const [now, since] = [performance.now(), this.lookedAt];
    const speed = Math.abs(index - (this.looked ?? index)) / Math.max(1, now - since);
    this.speed = now - since > 4 * REST ? 0 : (this.speed + speed) / 2;
    this.looked = index;
    this.lookedAt = now;
    return Math.round(this.speed * this.takes);
  }

  rest(index, direction) {
    this.wanted = this.around(index, direction, 0);
    this.pump();
  }

  // No request is given up for another slice: the service works on it all the same, and more of them would come at once.
  async inTurn(index) {
    while (this.looked === index && this.running.size >= AT_ONCE && !this.has(index) && !this.running.has(this.key(index))) {
      await Promise.race([...this.running.values()].map(({ promise }) => promise.catch(() => {})));
    }
    if (this.looked !== index) return null;
    const found = this.get(index, "high");
    this.pump();
    return found;
  }

  // A picture that was asked for already is not asked for again.
  get(index, priority) {
    const key = this.key(index);
    const kept = this.kept.get(key);
    if (kept) {
      this.kept.delete(key);
      this.kept.set(key, kept);
      return Promise.resolve(kept);
    }
    if (!this.running.has(key)) this.start(index, key, priority);
    return this.running.get(key).promise;
  }

  start(index, key, priority) {
    const task = { abort: new AbortController() };
    const started = performance.now();
    const options = { size: this.size, window: this.window, signal: task.abort.signal, priority };
    task.promise = api
      .picture(this.slices[index], options)
      .then((found) => {
        this.keep(key, found);
        this.takes += 0.3 * (performance.now() - started - this.takes);
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

  // Slices in the direction of the last step, and some behind; at speed every second or third, from where it will be.
  around(index, direction, lead) {
    const found = [];
    const stride = Math.max(1, Math.ceil(lead / AHEAD_AT_ONCE));
    const first = stride * Math.round((index + direction * Math.max(1, lead)) / stride);
    for (let step = 0; step < AHEAD; step += 1) {
      found.push(first + step * stride * direction);
      if (lead <= 1 && step < AHEAD / 4) found.push(index - (step + 1) * direction);
    }
    return found.filter((at) => at >= 0 && at < this.slices.length);
  }

  forgetOtherWindows() {
    for (const [key, { abort }] of this.running) {
      if (key.endsWith(`/${this.size}/${this.window}`)) continue;
      this.running.delete(key);
      abort.abort();
    }
  }

  // What is fetched ahead is tried once.
  pump() {
    for (const index of this.wanted) {
      if (this.running.size >= AHEAD_AT_ONCE) return;
      if (this.has(index) || this.running.has(this.key(index))) continue;
      this.get(index, "low").then(
        () => this.pump(),
        (error) => error instanceof api.Over && this.onOver(error),
      );
    }
  }

  clear() {
    clearTimeout(this.resting);
    this.looked = null;
    this.wanted = [];
    for (const { abort } of this.running.values()) abort.abort();
    this.running.clear();
    this.kept.clear();
    this.bytes = 0;
  }
}
