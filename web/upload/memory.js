// What of an upload outlives its tab: written to the store as files are opened and sent, read when they are chosen again.

import { liveJobs } from "./store.js";

// Of a record of the store, what a file goes on with.
const KEPT = ["uploadId", "fileId", "openedAt", "expiresAt", "sha256", "way", "etags"];
const LEAST_TIME = 120_000;
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
    const live = await liveJobs(this.store.name);
    const wanted = new Set(entries.map(({ key }) => key));
    const isUsable = (record) => record.sent || record.expiresAt > Date.now() + LEAST_TIME;
    const found = (await this.store.load()).filter((record) => wanted.has(record.key) && !live.has(record.job) && isUsable(record));
    await this.store.put(found.map((record) => ({ ...record, job: this.job })));
    return new Map(found.map((record) => [record.key, { isSent: record.sent, kept: pick(record, KEPT) }]));
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
