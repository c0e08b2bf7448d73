// Workers that read and hash files, so that the page itself never waits for a disk.

const MOST = 4;

const script = new URL("worker.js", import.meta.url).href;

// Where a page requires Trusted Types, it allows this policy (`trusted-types dicom-upload`) or has a default one.
function trusted() {
  try {
    return trustedTypes.createPolicy("dicom-upload", { createScriptURL: () => script }).createScriptURL("");
  } catch {
    return script;
  }
}

const SCRIPT = trusted();

export class Pool {
  constructor(size = Math.min(MOST, Math.max(2, navigator.hardwareConcurrency ?? 2))) {
    this.idle = Array.from({ length: size }, () => new Worker(SCRIPT, { type: "module" }));
    this.workers = [...this.idle];
    this.queue = [];
    this.running = new Set();
  }

  // Do one task of worker.js, and return what it answers.
  run(task, argument) {
    return new Promise((done, failed) => {
      this.queue.push({ task, argument, done, failed });
      this.next();
    });
  }

  next() {
    if (!this.queue.length || !this.idle.length) return;
    const worker = this.idle.pop();
    const { task, argument, done, failed } = this.queue.shift();
    this.running.add(failed);
    const finish = (settle) => (event) => {
      worker.onmessage = worker.onerror = null;
      this.running.delete(failed);
      this.idle.push(worker);
      settle(event);
      this.next();
    };
    worker.onmessage = finish(({ data }) => done(data));
    worker.onerror = finish((event) => failed(new Error(event.message || "The worker of the uploads cannot be started.")));
    worker.postMessage({ task, argument });
  }

  close() {
    for (const worker of this.workers) worker.terminate();
    const left = [...this.running, ...this.queue.splice(0).map(({ failed }) => failed)];
    for (const failed of left) failed(new DOMException("closed", "AbortError"));
  }
}
