// What the tab remembers, in sessionStorage alone: it ends with the tab, and with signing out.

const SESSION = "share.session";
const PENDING = "share.pending";

function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

// The link's code leaves the address bar at once; the key makes redeeming it again give the same answer.
export function takeFragment() {
  const [token, ...flags] = decodeURIComponent(location.hash.slice(1)).split("&");
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (!/^[A-Za-z0-9]+\.[A-Za-z0-9]+$/.test(token)) return;
  if (read(PENDING)?.token === token) return;
  sessionStorage.removeItem(SESSION);
  remember({ token, birthDate: flags.includes("birthDate") });
}

export function remember(pending) {
  sessionStorage.setItem(PENDING, JSON.stringify({ key: crypto.randomUUID(), ...pending }));
}

export const pending = () => read(PENDING);

export function session() {
  const found = read(SESSION);
  return found && found.endsAt > Date.now() ? found : null;
}

export function open(access) {
  const endsAt = Date.now() + access.expiresIn * 1000;
  sessionStorage.setItem(SESSION, JSON.stringify({ ...access, endsAt }));
}

export function forget() {
  sessionStorage.clear();
}
