"""One-time passwords: one exam for one person, once (api.md, "One-time passwords"; security.md, "OTP and tokens")."""
