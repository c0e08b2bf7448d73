// oidc-provider, which is certified, with one public client and its own pages to sign in on.

import { Provider } from "oidc-provider";

const { issuer, redirect, port, lifetimes } = JSON.parse(process.argv[2]);
let issued = 0;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "desk",
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code"],
      response_types: ["code"],
      redirect_uris: [redirect],
      post_logout_redirect_uris: [redirect],
    },
  ],
  clientBasedCORS: () => true,
  pkce: { required: () => true },
  conformIdTokenClaims: false,
  claims: { openid: ["sub", "roles"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, roles: id === "nurse" ? ["staff"] : [] }) }),
  // One for each token, the last for all others.
  ttl: { IdToken: () => lifetimes[Math.min(issued++, lifetimes.length - 1)] },
});
provider.listen(port, "127.0.0.1");
