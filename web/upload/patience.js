// Waiting and trying again, each time longer and never all at once; the network's return ends a wait.

const FIRST = 500;
const LONGEST = 30_000;
const OTHER_PATIENCE = 30 * 60_000;

export class Unreachable extends Error {}

const isForLater = (status) => status === 408 || status === 429 || status >= 500;

// Send until there is an answer that is not for later. `failed(error)` hears of each attempt without one and may throw.
export async function patiently(send, { signal, failed, patience = OTHER_PATIENCE }) {
  const since = performance.now();
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted();
    let wait = Math.min(LONGEST, FIRST * 2 ** attempt) * (0.5 + Math.random() / 2);
    try {
      const answer = await send();
      if (!isForLater(answer.status)) return answer;
      wait = Math.max(wait, (answer.retryAfter ?? 0) * 1000);
      await failed?.(new Unreachable(String(answer.status)));
    } catch (error) {
      signal.throwIfAborted();
      // A TypeError is how `fetch` says that there was no answer.
      if (!(error instanceof Unreachable || error instanceof TypeError)) throw error;
      await failed?.(error);
    }
    if (performance.now() - since > patience) throw new Unreachable("no answer for a long time");
    await sleep(wait, signal);
  }
}

export function sleep(milliseconds, signal) {
  return new Promise((done, failed) => {
    const end = (settle) => () => {
      clearTimeout(timer);
      removeEventListener("online", awake);
      signal.removeEventListener("abort", aborted);
      settle(signal.reason);
    };
    const awake = end(done);
    const aborted = end(failed);
    const timer = setTimeout(awake, milliseconds);
    addEventListener("online", awake);
    signal.addEventListener("abort", aborted);
    if (signal.aborted) aborted();
  });
}
