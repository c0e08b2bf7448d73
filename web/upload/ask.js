// Questions to the service, asked again for as long as it is only for a moment that it does not answer.

import { patiently } from "./patience.js";

// An answer that no repetition changes; the upload pauses with `reason` until somebody has done something about it.
export class Refused extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

// A question that is asked again counts in the ledger until it is answered.
export function asking(api, ledger) {
  return async (path, options, signal) => {
    // What changes something is not broken off: its answer is worth knowing, also in a pause.
    const given = options.method === "POST" ? options : { ...options, signal };
    const retry = ledger.retry();
    try {
      const answer = await patiently(() => api(path, given), { signal, failed: retry.begin });
      if (answer.status === 401) throw new Refused("signed-out");
      if (answer.status === 403) throw new Refused("not-allowed");
      return answer;
    } finally {
      retry.end();
    }
  };
}
