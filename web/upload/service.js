// The service, as the engine asks it; a page may bring a function of its own instead.

// Return `ask(path, { method, body })`, which answers { status, json, retryAfter }; `credential` gives the token or key.
export function serviceApi(base, credential) {
  return async (path, { method = "GET", body, signal } = {}) => {
    const token = await credential();
    const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { "Content-Type": "application/json" }) };
    const answer = await fetch(new URL(path, base), {
      method,
      headers,
      signal,
      body: body && JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
    });
    const json = await answer.json().catch(() => null);
    return { status: answer.status, json, retryAfter: Number(answer.headers.get("Retry-After")) || 0 };
  };
}
