// Questions to the service, asked again for as long as it is only for a moment that it does not answer.

import { patiently } from "./patience.js";

// An answer that no repetition changes; the upload pauses with `reason` until somebody has done something about it.
export class Refused extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

export function asking(api) {
  return async (path, options, signal) => {
    // What changes something is not broken off: its answer is worth knowing, also in a pause.
    const given = options.method === "POST" ? options : { ...options, signal };
    const answer = await patiently(() => api(path, given), { signal });
    if (answer.status === 401) throw new Refused("signed-out");
    if (answer.status === 403) throw new Refused("not-allowed");
    return answer;
  };
}
