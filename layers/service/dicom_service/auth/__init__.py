"""Who is calling and what that reaches: service keys, OIDC tokens, the callback's key, exam access tokens."""
