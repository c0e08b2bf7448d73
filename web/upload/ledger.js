// Where each file of an upload stands, and how much of all has been sent.

import { pick } from "./memory.js";

const ON_THEIR_WAY = ["sent", "received"];
const ENDED = ["stored", "partly-stored", "rejected", "changed", "failed", "cancelled"];
const UNSENT = ["waiting", "reading", "opened", "sending"];
// Seconds over which the rate is measured.
const RATE_OVER = 10;
const SAMPLE_EVERY = 0.1;
const REPORTED = ["path", "size", "kind", "state", "reason", "detail", "failureReason", "studyInstanceUID", "sopInstanceUID"];
const REPORTED_OF_ZIPS = ["instances", "entries", "problems", "reportUrl"];

export class Ledger {
  constructor(plan, { onFile, onProgress }) {
    this.entries = plan.files.map((file) => ({ ...file, state: "waiting", renewals: 0, etags: {}, loaded: {} }));
    this.skipped = plan.skipped;
    this.counts = { waiting: this.entries.length };
    this.bytes = this.entries.reduce((sum, { size }) => sum + size, 0);
    this.bytesSent = 0;
    // What arrived, by upload: a ZIP brings studies that its own line does not name.
    this.studies = new Map();
    this.resumed = 0;
    this.retrying = 0;
    this.onFile = onFile;
    this.onProgress = onProgress;
    this.waiters = [];
    this.samples = [];
  }

  // ---- one file

  move(entry, state, details) {
    Object.assign(entry, details);
    if (entry.state === state) return;
    this.counts[entry.state] -= 1;
    this.counts[state] = (this.counts[state] ?? 0) + 1;
    entry.state = state;
    this.onFile(reported(entry));
    this.onProgress();
    this.wake();
  }

  fail(entry, reason, detail) {
    this.unload(entry);
    this.move(entry, "failed", { reason, detail });
  }

  // It is not the file any more that was inspected.
  another(entry) {
    this.unload(entry);
    this.move(entry, "changed", { reason: "CHANGED" });
  }

  // So many bytes of a part have been sent; of a file that goes whole, part 1 is all.
  load(entry, part, bytes) {
    this.bytesSent += bytes - (entry.loaded[part] ?? 0);
    entry.loaded[part] = bytes;
    this.onProgress();
  }

  unload(entry) {
    for (const part of Object.keys(entry.loaded)) this.load(entry, part, 0);
  }

  // ---- all of them

  // Go on with what is remembered (memory.js).
  recall(known) {
    for (const entry of this.entries) {
      const record = known.get(entry.key);
      if (!record) continue;
      this.resumed += 1;
      this.move(entry, record.isSent ? "sent" : "opened", record.kept);
      this.loadKept(entry);
    }
  }

  // After a stop, what was under way is to be done again.
  reset() {
    this.retrying = 0;
    for (const entry of this.entries) {
      if (entry.state === "reading") this.move(entry, "waiting");
      if (entry.state === "sending") this.move(entry, "opened");
      if (entry.state === "opened") this.loadKept(entry);
    }
  }

  loadKept(entry) {
    this.unload(entry);
    if (entry.state === "sent") this.load(entry, 1, entry.size);
    for (const { partNumber, size } of entry.way?.parts ?? []) {
      if (entry.etags[partNumber]) this.load(entry, partNumber, size);
    }
  }

  cancel() {
    for (const entry of this.entries) {
      if (UNSENT.includes(entry.state)) this.move(entry, "cancelled");
    }
  }

  count(states) {
    return states.reduce((sum, state) => sum + (this.counts[state] ?? 0), 0);
  }

  get unsent() {
    return this.count(UNSENT);
  }

  get unended() {
    return this.count(UNSENT) + this.count(ON_THEIR_WAY);
  }

  // ---- waiting for each other

  wake() {
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  // Wait until something is another way; a stop wakes as well.
  async change(signal) {
    signal.throwIfAborted();
    await new Promise((done) => this.waiters.push(done));
    signal.throwIfAborted();
  }

  // A request that is tried again counts from its first failure to its end.
  retry() {
    let isOn = false;
    const turn = (on) => {
      if (on !== isOn) this.retrying = Math.max(0, this.retrying + (on ? 1 : -1));
      isOn = on;
      this.onProgress();
    };
    return { begin: () => turn(true), end: () => turn(false) };
  }

  // ---- what is said of it

  // Bytes a second of the last moments; null before there are any.
  rate() {
    const now = performance.now() / 1000;
    if (!(now - this.samples.at(-1)?.[0] < SAMPLE_EVERY)) this.samples.push([now, this.bytesSent]);
    while (this.samples.length > 2 && this.samples[1][0] < now - RATE_OVER) this.samples.shift();
    const [at, bytes] = this.samples[0];
    return now - at > 0.5 ? Math.max(0, (this.bytesSent - bytes) / (now - at)) : null;
  }

  // After a pause nothing is known of it.
  forgetRate() {
    this.samples = [];
  }

  progress() {
    const rate = this.rate();
    return {
      files: this.entries.length,
      filesSent: this.entries.length - this.unsent,
      filesEnded: this.count(ENDED),
      filesResumed: this.resumed,
      bytes: this.bytes,
      bytesSent: this.bytesSent,
      bytesPerSecond: rate,
      secondsLeft: rate ? (this.bytes - this.bytesSent) / rate : null,
      retrying: this.retrying,
      counts: Object.fromEntries(Object.entries(this.counts).filter(([, count]) => count)),
    };
  }

  report() {
    return {
      ...pick(this.progress(), ["counts", "bytes", "bytesSent"]),
      uploads: [...new Set(this.entries.map(({ uploadId }) => uploadId).filter(Boolean))],
      studies: [...new Set([...this.studies.values()].flat())],
      files: this.entries.map(reported),
      skipped: this.skipped,
    };
  }
}

const reported = (entry) => pick(entry, entry.kind === "zip" ? [...REPORTED, ...REPORTED_OF_ZIPS] : REPORTED);
