// What of an upload outlives its tab: written to the store as files are opened and sent, read when they are chosen again.

import { liveJobs } from "./store.js";

// Of a record of the store, what a file goes on with.
const KEPT = ["uploadId", "fileId", "openedAt", "expiresAt", "sha256", "way", "etags"];
const LEAST_TIME = 120_000;
const LOOKS = 5;
const NO_STORE = { name: null, load: async () => [], put: async () => {}, remove: async () => {} };

export const pick = (from, names) =>
  Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));

export class Memory {
  constructor(store, job) {
    this.store = store ?? NO_STORE;
    this.job = job;
  }

  // What is remembered of these files, by fingerprint; from now on it belongs to this upload.
  async recall(entries) {
    if (this.store.name === null) return new Map();
    const wanted = new Set(entries.map(({ key }) => key));
    const isUsable = (record) => wanted.has(record.key) && (record.sent || record.expiresAt > Date.now() + LEAST_TIME);
    const known = (await this.store.load()).filter(isUsable);
    const live = await this.others(known);
    const found = known.filter(({ job }) => !live.has(job));
    await this.store.put(found.map((record) => ({ ...record, job: this.job })));
    return new Map(found.map((record) => [record.key, { isSent: record.sent, kept: pick(record, KEPT) }]));
  }

  // The jobs of other tabs; one that has just been closed holds its lock for a moment longer.
  async others(records) {
    for (let look = 1; ; look += 1) {
      const live = await liveJobs(this.store.name);
      if (look === LOOKS || !records.some(({ job }) => live.has(job))) return live;
      await new Promise((done) => setTimeout(done, 300));
    }
  }

  keep(entries, { isSent = false } = {}) {
    const records = entries.map((entry) => {
      const { way, etags, ...ids } = pick(entry, ["key", "size", ...KEPT]);
      return { ...ids, job: this.job, sent: isSent, ...(!isSent && { way, etags }) };
    });
    return this.store.put(records);
  }

  forget(entries) {
    return this.store.remove(entries.map(({ key }) => key));
  }
}
