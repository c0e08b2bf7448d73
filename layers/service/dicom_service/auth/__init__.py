"""Authentication and authorization: service keys, OIDC tokens, the callback's key, exam access tokens."""
