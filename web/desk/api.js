// The service, as staff see it. Nothing is kept in the browser's caches.

import { lastSession, session } from "./session.js";

// Modules lie two folders below the stage, whatever it is called and whatever is in front of it.
export const base = new URL("../../", import.meta.url);

export class ApiError extends Error {
  constructor(status, problem = {}) {
    super(problem.detail ?? String(status));
    this.status = status;
    this.code = problem.code;
  }
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

let ended = () => {};
// Whom to tell when the service does not know the credential any more.
export function whenEnded(listener) {
  ended = listener;
}

// The upload engine asks by itself, and was told so.
export const sessionOver = () => ended();

export async function ask(path, { json, token = session()?.accessToken, ...options } = {}) {
  // Also of a session that ended while the computer slept, which no timer has told yet.
  const asked = token ?? lastSession()?.accessToken;
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...options.headers };
  if (json) headers["Content-Type"] = "application/json";
  const body = json ? JSON.stringify(json) : options.body;
  let answer;
  try {
    answer = await fetch(new URL(path, base), { cache: "no-store", credentials: "omit", ...options, headers, body });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
  if (answer.ok) return answer;
  // An answer to the token from before somebody signed in again says nothing of the new one.
  if (answer.status === 401 && asked === lastSession()?.accessToken) ended();
  throw new ApiError(answer.status, await answer.json().catch(() => ({})));
}

const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value != null));
const asJson = async (...request) => (await ask(...request)).json();

export const me = (token) => asJson("me", { token });

export async function findExams(filters, { limit, offset, signal }) {
  const answer = await ask(`exams/studies?${query({ ...filters, limit, offset, format: "simple" })}`, { signal });
  return { rows: await answer.json(), more: answer.headers.has("Link") };
}

const study = (uid) => `exams/studies/${uid}`;
export const exam = (uid, signal) => asJson(`${study(uid)}?format=simple`, { signal });
export const accesses = (uid) => asJson(`${study(uid)}/accesses?limit=200`);
export const askForArchive = (uid) => ask(`${study(uid)}/archive`, { method: "POST" });
export const archive = (uid) => asJson(`${study(uid)}/archive?redirect=false`);

export async function thumbnail(uid, signal) {
  return (await ask(`${study(uid)}/thumbnail?size=128`, { signal })).blob();
}

export const share = (wishes) => asJson("otps", { method: "POST", json: wishes });
export const shares = (uid) => asJson(`otps?studyUID=${uid}&limit=100`);
export const shareState = (otpId) => asJson(`otps/${otpId}`);
export const revoke = (otpId) => ask(`otps/${otpId}`, { method: "DELETE" });

// All workitems of a day: a list that the service gives in pages.
export async function workitems(day, signal) {
  const found = [];
  let next = `workitems?${query({ from: day, to: day, limit: 1000, format: "simple" })}`;
  while (next) {
    const answer = await ask(next, { signal });
    found.push(...(await answer.json()));
    const link = /<([^>]+)>; rel="next"/.exec(answer.headers.get("Link") ?? "")?.[1];
    next = link && `workitems${new URL(link).search}`;
  }
  return found;
}

export const schedule = (item) => ask("workitems", { method: "POST", json: item });
export const reschedule = (uid, changes) => ask(`workitems/${uid}`, { method: "PATCH", json: changes });
export const setState = (uid, State) => ask(`workitems/${uid}/state`, { method: "PUT", json: { State } });

export const events = (after, signal) => asJson(`events?after=${after}&limit=200`, { signal });
