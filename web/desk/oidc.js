// Signing in with the operator's issuer: authorization code with PKCE (RFC 7636, OpenID Connect Core §3.1, RFC 9700).

import { base } from "./api.js";
import { meta } from "./dom.js";
import { keepPending, takePending } from "./session.js";

export class SignInFailed extends Error {}

const client = { issuer: meta("oidc-issuer"), id: meta("oidc-client"), audience: meta("oidc-audience"), scope: meta("oidc-scope") };
export const isConfigured = Boolean(client.issuer && client.id);
const home = new URL("desk", base).href;

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function challenge(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

const withoutSlash = (url) => url.replace(/\/$/, "");

async function discover() {
  const url = `${withoutSlash(client.issuer)}/.well-known/openid-configuration`;
  const answer = await fetch(url, { cache: "no-store", credentials: "omit" }).catch(() => null);
  const found = answer?.ok ? await answer.json() : null;
  if (!found || withoutSlash(found.issuer) !== withoutSlash(client.issuer)) throw new SignInFailed("issuer");
  return found;
}

// Leaves for the issuer; `kept` is what the page finds again when it comes back.
export async function leave(kept = {}) {
  const { authorization_endpoint } = await discover();
  const pending = { ...kept, state: random(), nonce: random(), verifier: random() };
  keepPending(pending);
  const query = {
    response_type: "code",
    client_id: client.id,
    redirect_uri: home,
    scope: client.scope,
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await challenge(pending.verifier),
    code_challenge_method: "S256",
    ...(client.audience !== client.id && { audience: client.audience }),
  };
  const url = new URL(authorization_endpoint);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  location.assign(url);
}

// Whether the issuer has just led back here; code and state leave the address bar at once.
export function takeAnswer() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state") || !(answer.has("code") || answer.has("error"))) return null;
  history.replaceState(null, "", location.pathname);
  return answer;
}

// The token of an answer; throws if it is not the answer to what this very tab asked.
export async function finish(answer) {
  const pending = takePending();
  if (!pending || answer.get("state") !== pending.state) throw new SignInFailed("state");
  if (answer.has("error")) throw new SignInFailed(answer.get("error"));
  const found = await discover();
  if (answer.has("iss") && withoutSlash(answer.get("iss")) !== withoutSlash(client.issuer)) throw new SignInFailed("iss");
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    code: answer.get("code"),
    redirect_uri: home,
    client_id: client.id,
    code_verifier: pending.verifier,
  });
  const given = await fetch(found.token_endpoint, { method: "POST", body, credentials: "omit" }).catch(() => null);
  if (!given?.ok) throw new SignInFailed("token");
  return { pending, ...tokens(await given.json(), pending) };
}

// The claims come straight from the issuer (OpenID Connect Core §3.1.3.7, 6); the service checks the signature of each request.
function tokens(given, pending) {
  const claims = claimsOf(given.id_token);
  const isForUs = [claims?.aud].flat().includes(client.id) && withoutSlash(claims.iss) === withoutSlash(client.issuer);
  if (!isForUs || claims.nonce !== pending.nonce || claims.exp * 1000 < Date.now()) throw new SignInFailed("id_token");
  const accessToken = client.audience === client.id ? given.id_token : given.access_token;
  const expires = claimsOf(accessToken)?.exp;
  const endsAt = expires ? expires * 1000 : given.expires_in ? Date.now() + given.expires_in * 1000 : null;
  return { accessToken, endsAt, idToken: given.id_token };
}

function claimsOf(token) {
  try {
    const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (character) => character.charCodeAt(0))));
  } catch {
    return null;
  }
}

// Ends the session at the issuer, too, where it can (OpenID Connect RP-Initiated Logout).
export async function signOutUrl({ idToken, accessToken }) {
  const { end_session_endpoint } = await discover().catch(() => ({}));
  if (!end_session_endpoint) return null;
  const url = new URL(end_session_endpoint);
  url.searchParams.set("client_id", client.id);
  url.searchParams.set("post_logout_redirect_uri", home);
  // Never what the service takes for a credential, which the ID token is where the audience is the client.
  if (idToken !== accessToken) url.searchParams.set("id_token_hint", idToken);
  return url;
}
