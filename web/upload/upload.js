// Brings the files of a plan (inspect.js) to the service. Events: `state`, `progress`, `file`, `done`, `error`.

import { asking, Refused } from "./ask.js";
import { Follower } from "./follower.js";
import { Ledger } from "./ledger.js";
import { Memory } from "./memory.js";
import { Opener } from "./opener.js";
import { Unreachable } from "./patience.js";
import { Pool } from "./pool.js";
import { Queue } from "./queue.js";
import { Sender } from "./sender.js";
import { holdJob } from "./store.js";

// Browsers have six connections to a host of HTTP/1.1.
const AT_ONCE = 6;
// Workers: one reads and hashes more in a second than a line of a gigabit takes, and each has its memory.
const HASHING = 1;
const TELL_EVERY = 100;

export class Upload extends EventTarget {
  #ask;
  #store;
  #atOnce;
  #ledger;
  #memory;
  #pool;
  #control;
  #running = Promise.resolve();
  #release = () => {};
  #telling;

  constructor({ api, plan, store, atOnce = AT_ONCE }) {
    super();
    this.job = crypto.randomUUID();
    this.state = "ready";
    this.reason = null;
    this.#store = store;
    this.#atOnce = atOnce;
    this.#memory = new Memory(store, this.job);
    this.#ledger = new Ledger(plan, {
      onFile: (file) => this.#tell("file", file),
      onProgress: () => this.#tellProgress(),
    });
    this.#ask = asking(api, this.#ledger);
  }

  get progress() {
    return { state: this.state, reason: this.reason, ...this.#ledger.progress() };
  }

  get report() {
    return { state: this.state, ...this.#ledger.report() };
  }

  // Begin, or go on where a tab that was closed has stopped with these files.
  async start() {
    if (this.state !== "ready") return;
    this.#to("running");
    if (this.#store) this.#release = await holdJob(this.#store.name, this.job);
    this.#ledger.recall(await this.#memory.recall(this.#ledger.entries));
    if (this.state === "running") this.#run();
  }

  // Stop sending at once. What was under way is sent again later: of a file its part of that moment.
  pause(reason = "asked") {
    if (this.state !== "running") return;
    this.#to("paused", reason);
    this.#stop();
  }

  async resume() {
    if (this.state !== "paused") return;
    await this.#running;
    if (this.state !== "paused") return;
    this.#to("running");
    this.#run();
  }

  // Give up what is not sent; what was sent is stored all the same.
  async cancel() {
    if (["done", "cancelled"].includes(this.state)) return;
    this.#to("cancelled");
    this.#stop();
    await this.#running;
    this.#ledger.cancel();
    await this.#end();
  }

  #run() {
    const { signal } = (this.#control = new AbortController());
    this.#pool ??= new Pool(HASHING);
    this.#ledger.forgetRate();
    const parts = { ledger: this.#ledger, memory: this.#memory, ask: this.#ask, pool: this.#pool, queue: new Queue(this.#ledger.entries) };
    const tasks = [new Opener(parts).run(signal), new Follower(parts).run(signal)];
    const sender = new Sender(parts);
    for (let n = 0; n < this.#atOnce; n += 1) tasks.push(sender.run(signal));
    for (const task of tasks) task.catch((error) => signal.aborted || this.#failed(error));
    this.#running = Promise.allSettled(tasks).then(() => (signal.aborted ? this.#ledger.reset() : this.#finish()));
  }

  #stop() {
    this.#control?.abort();
    this.#ledger.wake();
  }

  #failed(error) {
    if (error instanceof Refused) this.pause(error.reason);
    else if (error instanceof Unreachable) this.pause("unreachable");
    else {
      this.pause("defect");
      this.#tell("error", error);
    }
  }

  async #finish() {
    this.#to("done");
    await this.#end();
  }

  async #end() {
    this.#pool?.close();
    await this.#memory.forget(this.#ledger.entries);
    this.#release();
    this.#tell("progress", this.progress);
    this.#tell("done", this.report);
  }

  #to(state, reason = null) {
    this.state = state;
    this.reason = reason;
    this.#tell("state", { state, reason });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #tellProgress() {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#tell("progress", this.progress);
    }, TELL_EVERY);
  }
}
