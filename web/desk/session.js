// Who is signed in, in sessionStorage alone: it ends with the tab, with signing out, and when the token expires.
// A local stack's one-time sign-in (local/sign_ins.py) leaves a session here.

const SESSION = "desk.session";
const PENDING = "desk.signin";
// In localStorage, which all tabs see: a name for the last signing out of this browser. A session that began before it is
// over, also where a tab has a copy: the viewer, another window, or one that was closed and is opened again.
const SIGNED_OUT = "desk.signedOut";
const lastSignOut = () => localStorage.getItem(SIGNED_OUT) ?? "";

function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

// { accessToken, endsAt (null: not known), name, role, idToken, after: the signing out before it }
export function session() {
  const found = lastSession();
  return found && (found.endsAt === null || found.endsAt > Date.now()) ? found : null;
}

// Also one that has expired: whoever signs in again has to be the same person.
export function lastSession() {
  const found = read(SESSION);
  return found?.after === lastSignOut() ? found : null;
}

export function keep(session) {
  sessionStorage.setItem(SESSION, JSON.stringify({ ...session, after: lastSignOut() }));
}

// One that a local stack's link has just left here; copies of others say after which signing out they began.
export function adopt() {
  const found = read(SESSION);
  if (found && found.after === undefined) keep(found);
}

// The service does not take it any more.
export function expire() {
  const found = lastSession();
  if (found) keep({ ...found, endsAt: 0 });
}

export function forget() {
  sessionStorage.removeItem(SESSION);
  sessionStorage.removeItem(PENDING);
}

// Here and in all tabs.
export function signOut() {
  forget();
  localStorage.setItem(SIGNED_OUT, String(Date.now()));
}

export function whenSignedOutElsewhere(listener) {
  addEventListener("storage", ({ key }) => key === SIGNED_OUT && listener());
}

// What a sign-in under way has to find again when the issuer leads back.
export function keepPending(pending) {
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
}

export function takePending() {
  const found = read(PENDING);
  sessionStorage.removeItem(PENDING);
  return found;
}

export const mayChange = () => session()?.role === "service";
