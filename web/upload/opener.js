// Hashes files and opens uploads for them, a batch at a time, ahead of what sends them.

import { Batches } from "./batches.js";

const LONGEST_NAME = 300;
// S3 checks the digest of a file that goes whole (docs/decisions/0041).
const LARGEST_WHOLE = 64 * 1024 ** 2;

// Nothing but printable characters is taken for a name.
const nameOf = (path) => path.split("/").at(-1).slice(-LONGEST_NAME).replace(/\p{C}|(?! )\p{Z}/gu, "_") || "_";

export class Opener {
  constructor({ ledger, queue, pool, memory, ask }) {
    Object.assign(this, { ledger, queue, pool, memory, ask });
    this.batches = new Batches();
  }

  async run(signal) {
    const { ledger, queue } = this;
    while (ledger.unsent) {
      const rate = ledger.rate();
      if (!queue.waiting.length || this.batches.isEnough(queue.ready(), rate)) await ledger.change(signal);
      else await this.open(this.batches.take(queue.waiting, rate), signal);
    }
  }

  async open(batch, signal) {
    const { ledger } = this;
    for (const entry of batch) ledger.move(entry, "reading");
    await Promise.all(batch.map((entry) => this.digest(entry, signal)));
    signal.throwIfAborted();
    const files = batch.filter(({ state }) => state === "reading");
    if (!files.length) return;
    const named = files.map(({ path, size, sha256 }) => ({ name: nameOf(path), size, ...(sha256 && { sha256 }) }));
    const { status, json } = await this.ask("uploads", { method: "POST", body: { files: named } }, signal);
    if (status !== 201) {
      for (const entry of files) ledger.fail(entry, json?.code ?? String(status), json?.detail);
      return;
    }
    files.forEach((entry, n) => Object.assign(entry, opened(json, json.files[n])));
    await this.memory.keep(files);
    for (const entry of files) {
      ledger.move(entry, "opened");
      this.queue.add(entry);
    }
    signal.throwIfAborted();
  }

  // The digest of what will be sent; a file that is another one by now is not sent.
  async digest(entry, signal) {
    const { file, path, key, size } = entry;
    const found = await this.pool.run("digest", { file, path, key, whole: size <= LARGEST_WHOLE });
    if (signal.aborted) return;
    if (found) entry.sha256 = found.sha256;
    else this.ledger.another(entry);
  }
}

function opened({ uploadId, expiresAt }, { fileId, url, fields, multipart }) {
  const way = multipart ? { parts: multipart.parts, partSize: multipart.partSize } : { url, fields };
  return { uploadId, fileId, expiresAt: Date.parse(expiresAt), openedAt: Date.now(), way, etags: {} };
}
