"""One-time passwords: one person, one exam, once (api.md, "One-time passwords"; security.md, "OTP and tokens")."""
