// How many files the next upload gets: few at first, so that the first byte leaves at once; never more than can be sent
// long before the presigned requests expire.

const MIB = 1024 ** 2;
const STEPS = [
  { files: 6, bytes: 16 * MIB },
  { files: 40, bytes: 64 * MIB },
];
const FILES = 150;
const LEAST_BYTES = 64 * MIB;
const MOST_BYTES = 4096 * MIB;
const SECONDS = 600;
const PART = 64 * MIB;
// What one answer of POST /uploads may name: a form counts as two.
const URLS = 1000;

export class Batches {
  constructor() {
    this.step = 0;
  }

  bytesAhead(rate) {
    return Math.min(MOST_BYTES, Math.max(LEAST_BYTES, (rate ?? 0) * SECONDS));
  }

  // Whether enough is opened and waits to be sent.
  isEnough(ready, rate) {
    return ready.files >= FILES || (ready.files > 0 && ready.bytes >= this.bytesAhead(rate));
  }

  // Take the next files out of those that wait; one at least.
  take(waiting, rate) {
    const limit = STEPS[this.step] ?? { files: FILES, bytes: this.bytesAhead(rate) };
    this.step += 1;
    let count = 0;
    let bytes = 0;
    let urls = 0;
    for (const { size } of waiting.slice(0, limit.files)) {
      bytes += size;
      urls += size > PART ? Math.ceil(size / PART) : 2;
      if (count && (bytes > limit.bytes || urls > URLS)) break;
      count += 1;
    }
    return waiting.splice(0, count);
  }
}
