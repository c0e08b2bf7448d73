// What is to be done: files that wait to be opened, and jobs of those that are: a whole file, a part, or the end of one
// of which all parts are there.

export class Queue {
  constructor(entries) {
    this.waiting = entries.filter(({ state }) => state === "waiting");
    this.jobs = [];
    for (const entry of entries) if (entry.state === "opened") this.add(entry);
  }

  add(entry) {
    const { parts } = entry.way;
    if (!parts) {
      this.jobs.push({ entry });
      return;
    }
    const missing = parts.filter(({ partNumber }) => !entry.etags[partNumber]);
    entry.left = missing.length;
    this.jobs.push(...missing.map((part) => ({ entry, part })));
    if (!missing.length) this.jobs.push({ entry, isLast: true });
  }

  // Files that are opened and not begun.
  ready() {
    const entries = new Set(this.jobs.map(({ entry }) => entry));
    return { files: entries.size, bytes: [...entries].reduce((sum, { size }) => sum + size, 0) };
  }

  // The next job; parts of a file that is given up or opened anew are passed over.
  next() {
    for (;;) {
      const job = this.jobs.shift();
      if (!job || (["opened", "sending"].includes(job.entry.state) && !isOld(job))) return job;
    }
  }
}

const isOld = ({ entry, part }) => Boolean(part) && !entry.way.parts.includes(part);
