// What is remembered of uploads that are under way, in IndexedDB: fingerprints, ids, presigned requests, ETags of
// parts. No path, no name, nothing of a patient; removed when the upload is done.

const VERSION = 1;
// Records that are written at once: a page that writes a thousand stands still for as long.
const A_STEP = 50;

const settled = (request) =>
  new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });

const committed = (transaction) =>
  new Promise((done, failed) => {
    transaction.oncomplete = () => done();
    transaction.onabort = () => failed(transaction.error);
  });

export async function openStore(name = "dicom-upload") {
  const opening = indexedDB.open(name, VERSION);
  opening.onupgradeneeded = () => opening.result.createObjectStore("files", { keyPath: "key" });
  return new Store(await settled(opening), name);
}

class Store {
  constructor(database, name) {
    this.database = database;
    this.name = name;
  }

  files(mode) {
    return this.database.transaction("files", mode, { durability: "relaxed" }).objectStore("files");
  }

  // All files that are remembered: [{ key, job, uploadId, fileId, expiresAt, size, sha256, way, etags, sent }].
  load() {
    return settled(this.files("readonly").getAll());
  }

  put(records) {
    return this.change(records, (files, record) => files.put(record));
  }

  remove(keys) {
    return this.change(keys, (files, key) => files.delete(key));
  }

  async change(items, work) {
    for (let start = 0; start < items.length; start += A_STEP) {
      const files = this.files("readwrite");
      for (const item of items.slice(start, start + A_STEP)) work(files, item);
      await committed(files.transaction);
    }
  }

  // Uploads that were interrupted: [{ job, files, sent, bytes, bytesSent, startedAt }]; those of open tabs are not.
  async interrupted() {
    const live = await liveJobs(this.name);
    const jobs = new Map();
    for (const { job, size, sent, openedAt } of await this.load()) {
      if (live.has(job)) continue;
      const found = jobs.get(job) ?? { job, files: 0, sent: 0, bytes: 0, bytesSent: 0, startedAt: openedAt };
      found.files += 1;
      found.bytes += size;
      found.sent += sent ? 1 : 0;
      found.bytesSent += sent ? size : 0;
      found.startedAt = Math.min(found.startedAt, openedAt);
      jobs.set(job, found);
    }
    return [...jobs.values()].sort((a, b) => b.startedAt - a.startedAt);
  }

  // Forget an interrupted upload.
  async forget(job) {
    await this.remove((await this.load()).filter((record) => record.job === job).map(({ key }) => key));
  }
}

// An upload holds a lock of its browser for as long as its tab lives.
const lockName = (store, job) => `${store}/${job}`;

export async function liveJobs(store) {
  const { held } = await navigator.locks.query();
  const prefix = lockName(store, "");
  return new Set(held.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name.slice(prefix.length)));
}

// Hold the lock until the returned function is called.
export function holdJob(store, job) {
  return new Promise((held) => {
    navigator.locks.request(lockName(store, job), () => new Promise((release) => held(release)));
  });
}
