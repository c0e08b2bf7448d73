// The service, as the bearer of an exam access token sees it. Nothing is kept in the browser's caches.

import { session } from "./session.js";

// Modules lie two folders below the stage, whatever it is called and whatever is in front of it.
export const base = new URL("../../", import.meta.url);

export class Refused extends Error {}
export class Over extends Error {}
export class Unavailable extends Error {}
export class Missing extends Error {}

// The API answers within half a minute or not at all.
const LONGEST = 35_000;

async function ask(path, { signal, ...options } = {}) {
  const access = session();
  const headers = { ...(access && { Authorization: `Bearer ${access.accessToken}` }), ...options.headers };
  const signals = [AbortSignal.timeout(LONGEST), ...(signal ? [signal] : [])];
  let answer;
  try {
    answer = await fetch(new URL(path, base), { cache: "no-store", credentials: "omit", ...options, headers, signal: AbortSignal.any(signals) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unavailable("network");
  }
  if (answer.ok) return answer;
  if (answer.status === 401 || answer.status === 403) throw new Over(String(answer.status));
  if (answer.status === 429 || answer.status >= 500) throw new Unavailable(String(answer.status));
  throw new Missing(String(answer.status));
}

const WAITS = [600, 1500, 4000];

// Tries again where the PACS or the network may be back in a moment.
export async function again(attempt) {
  for (const wait of WAITS) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  return attempt();
}

const patiently = (path, options) => again(() => ask(path, options));

export async function redeem(pending, birthDate) {
  const [otpId, otp] = pending.token.split(".");
  const body = JSON.stringify({ otpId, otp, ...(birthDate && { birthDate }) });
  const headers = { "Content-Type": "application/json", "Idempotency-Key": pending.key };
  try {
    return await (await patiently("otps/redeem", { method: "POST", body, headers })).json();
  } catch (error) {
    if (error instanceof Unavailable) throw error;
    throw new Refused(error.message);
  }
}

export async function signOut() {
  await ask("access-token", { method: "DELETE", keepalive: true });
}

const exam = () => `exams/studies/${session().studyUID}`;
const path = (name) => `${exam()}/series/${name.series}/instances/${name.instance}`;

export const study = async () => (await patiently(exam())).json();
export const series = () => rows(`${exam()}/series`);
export const instances = (seriesUID) => rows(`${exam()}/series/${seriesUID}/instances`);

async function rows(list) {
  const found = [];
  for (;;) {
    const answer = await patiently(`${list}?limit=1000&offset=${found.length}`);
    found.push(...(await answer.json()));
    if (!answer.headers.get("Link")) return found;
  }
}

async function asPicture(answer) {
  const source = answer.headers.get("X-Thumbnail") ?? "";
  const reason = /^placeholder; reason=(.*)$/.exec(source)?.[1];
  return reason ? { reason } : { blob: await answer.blob() };
}

export async function thumbnail(seriesUID, size, priority) {
  const place = seriesUID ? `${exam()}/series/${seriesUID}` : exam();
  return asPicture(await patiently(`${place}/thumbnail?size=${size}`, { priority }));
}

// Tried once: whoever waits for it tries again.
export async function picture(name, { size, window, signal, priority }) {
  const query = new URLSearchParams({ fileType: "image/jpeg", size, window });
  if (name.frame) query.set("frame", name.frame);
  return asPicture(await ask(`${path(name)}?${query}`, { signal, priority }));
}

export const accesses = async () => (await patiently(`${exam()}/accesses?limit=1000`)).json();
export const askForArchive = () => patiently(`${exam()}/archive`, { method: "POST" });
export const archive = async () => (await patiently(`${exam()}/archive?redirect=false`)).json();

// A PDF as a blob, or the tree of a Structured Report.
export async function report(name) {
  const ask = () => patiently(`${path(name)}/report?redirect=false`);
  const answer = await ask();
  if (answer.headers.get("Content-Type").startsWith("application/pdf")) return { pdf: await answer.blob() };
  const found = await answer.json();
  if (!found.url) return { tree: found };
  // The page may fetch from its own origin alone. What lies elsewhere the browser opens itself, by a URL that is new then.
  if (new URL(found.url).origin === location.origin) return { pdf: await stored(found.url) };
  return { open: async () => location.assign((await (await ask()).json()).url) };
}

// What is too large for an answer of the service lies in S3: the URL alone opens it, no token goes along.
async function stored(url) {
  try {
    const answer = await fetch(url, { cache: "no-store", credentials: "omit" });
    if (answer.ok) return await answer.blob();
  } catch {
    // As if it were not there for the moment.
  }
  throw new Unavailable("stored");
}
