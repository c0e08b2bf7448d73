// Sends files and parts to S3 and finishes files that went in parts.

import { patiently } from "./patience.js";
import { postForm, putPart } from "./transfer.js";

// A request that expires sooner is not begun; one that was just made is, whatever the clock of this machine says.
const MARGIN = 60_000;
const SURELY_GOOD = 300_000;
const MOST_RENEWALS = 5;

class Changed extends Error {}

export class Sender {
  constructor({ ledger, queue, pool, memory, ask }) {
    Object.assign(this, { ledger, queue, pool, memory, ask });
  }

  async run(signal) {
    while (this.ledger.unsent) {
      const job = this.queue.next();
      if (job) await this.send(job, signal);
      else await this.ledger.change(signal);
    }
  }

  async send({ entry, part, isLast }, signal) {
    if (isExpired(entry)) {
      this.openAnew(entry);
      return;
    }
    this.ledger.move(entry, "sending");
    this.ledger.wake();
    if (isLast) await this.complete(entry, signal);
    else if (part) await this.sendPart(entry, part, signal);
    else await this.sendWhole(entry, signal);
  }

  async sendWhole(entry, signal) {
    const answer = await this.transfer(entry, 1, (options) => postForm(entry.way, entry.file, options), signal);
    if (answer) await this.sent(entry);
  }

  async sendPart(entry, { partNumber, url, size }, signal) {
    const { way, file } = entry;
    if (!(await this.isSame(entry))) {
      this.ledger.another(entry);
      return;
    }
    const start = (partNumber - 1) * way.partSize;
    const blob = file.slice(start, start + size);
    const answer = await this.transfer(entry, partNumber, (options) => putPart(url, blob, options), signal);
    // Meanwhile the file may have been opened anew.
    if (!answer || entry.way !== way) return;
    entry.etags[partNumber] = answer.etag;
    entry.left -= 1;
    await this.memory.keep([entry]);
    if (!entry.left) await this.complete(entry, signal);
  }

  // Whether a file is still the one that was inspected.
  async isSame({ file, path, key }) {
    return Boolean(await this.pool.run("digest", { file, path, key, whole: false }));
  }

  // Return S3's answer if it took the bytes; what else there is to say is in the ledger then.
  async transfer(entry, part, send, signal) {
    const { ledger } = this;
    const { way } = entry;
    const retry = ledger.retry();
    const failed = async () => {
      ledger.load(entry, part, 0);
      retry.begin();
      // For a page, a file that cannot be read any more and a network that is down look the same.
      if (!(await this.isSame(entry))) throw new Changed();
    };
    try {
      const options = { signal, onLoaded: (bytes) => ledger.load(entry, part, Math.min(bytes, entry.size)) };
      const answer = await patiently(() => send(options), { signal, failed });
      if (answer.status < 300) return answer;
      if (entry.way === way && entry.state === "sending") await this.refused(entry, answer);
    } catch (error) {
      if (!(error instanceof Changed)) throw error;
      ledger.another(entry);
    } finally {
      retry.end();
    }
    return null;
  }

  async refused(entry, { status, code }) {
    if (status === 403 || status === 404) {
      this.renew(entry);
      return;
    }
    // S3 takes the announced bytes and no others.
    const { file, path, key, sha256 } = entry;
    const found = await this.pool.run("digest", { file, path, key, whole: Boolean(sha256) });
    if (found && (!sha256 || found.sha256 === sha256)) this.ledger.fail(entry, code ?? String(status));
    else this.ledger.another(entry);
  }

  // Its requests are not taken any more.
  renew(entry) {
    entry.renewals += 1;
    if (entry.renewals > MOST_RENEWALS) this.ledger.fail(entry, "NOT_ACCEPTED");
    else this.openAnew(entry);
  }

  // It gets other requests, in another upload.
  openAnew(entry) {
    this.ledger.unload(entry);
    Object.assign(entry, { uploadId: undefined, fileId: undefined, way: undefined, etags: {} });
    this.queue.waiting.push(entry);
    this.ledger.move(entry, "waiting");
  }

  async complete(entry, signal) {
    const parts = Object.entries(entry.etags).map(([number, etag]) => ({ partNumber: Number(number), etag }));
    const path = `uploads/${entry.uploadId}/files/${entry.fileId}/complete`;
    const { status, json } = await this.ask(path, { method: "POST", body: { parts } }, signal);
    if (status < 300) await this.sent(entry);
    else if (status === 404 || status === 409) this.renew(entry);
    else this.ledger.fail(entry, json?.code ?? String(status));
  }

  async sent(entry) {
    if (!entry.way.parts) this.ledger.load(entry, 1, entry.size);
    await this.memory.keep([entry], { isSent: true });
    this.ledger.move(entry, "sent", { way: undefined });
  }
}

function isExpired({ expiresAt, openedAt }) {
  const now = Date.now();
  return expiresAt < now + MARGIN && openedAt < now - SURELY_GOOD;
}
