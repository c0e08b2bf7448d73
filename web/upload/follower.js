// Follows what becomes of the files that were sent, by the progress of their uploads.

import { pick } from "./memory.js";
import { sleep } from "./patience.js";

const ASK_EVERY = 1000;
// An upload of which files are still being sent is asked for less often.
const ASK_LATER = 5000;
const SHOWN = ["reason", "detail", "failureReason", "studyInstanceUID", "sopInstanceUID", "instances", "entries", "problems", "reportUrl"];

export class Follower {
  constructor({ ledger, ask }) {
    Object.assign(this, { ledger, ask });
    this.asked = new Map();
  }

  async run(signal) {
    while (this.ledger.unended) {
      await sleep(ASK_EVERY, signal);
      for (const [uploadId, entries] of this.worthAsking()) await this.follow(uploadId, entries, signal);
    }
  }

  // Uploads, each with its files that have been sent and have no end yet.
  worthAsking() {
    const uploads = new Map();
    const unfinished = new Set();
    for (const entry of this.ledger.entries) {
      if (["opened", "sending"].includes(entry.state)) unfinished.add(entry.uploadId);
      if (!["sent", "received"].includes(entry.state)) continue;
      if (!uploads.has(entry.uploadId)) uploads.set(entry.uploadId, []);
      uploads.get(entry.uploadId).push(entry);
    }
    const now = performance.now();
    const isTime = (id) => !unfinished.has(id) || now - (this.asked.get(id) ?? 0) > ASK_LATER;
    return [...uploads].filter(([id]) => isTime(id));
  }

  async follow(uploadId, entries, signal) {
    const { status, json } = await this.ask(`uploads/${uploadId}`, {}, signal);
    this.asked.set(uploadId, performance.now());
    if (status !== 200) {
      for (const entry of entries) this.ledger.fail(entry, json?.code ?? String(status));
      return;
    }
    this.ledger.studies.set(uploadId, json.studies.map(({ StudyInstanceUID }) => StudyInstanceUID));
    const files = new Map(json.files.map((file) => [file.fileId, file]));
    for (const entry of entries) {
      const file = files.get(entry.fileId);
      // S3 has it, whether the service has seen it yet or not.
      if (file && file.state !== "waiting") this.ledger.move(entry, file.state, pick(file, SHOWN));
    }
  }
}
