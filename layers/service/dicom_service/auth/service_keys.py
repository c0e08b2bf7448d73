"""Service keys: long random secrets of machine clients; only their SHA-256 is kept (api.md, "Authentication")."""

import hashlib
import hmac

from dicom_service.auth.principal import ROLES, Principal
from dicom_service.aws import Secret


class ServiceKeys:
    """Finds the machine client that a key belongs to.

    Parameters
    ----------
    secret
        JSON ``{"keys": [{"name": …, "role": …, "sha256": …}]}``; read again every minute, so a key is added or
        withdrawn without a deployment.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def find(self, token: str) -> Principal | None:
        """Give the client whose key `token` is, or None.

        Every stored hash is compared, in constant time, so that the answer's time tells nothing.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for entry in self._secret.value().get("keys", []):
            role = entry.get("role", "service")
            if hmac.compare_digest(str(entry.get("sha256", "")).lower(), digest) and role in ROLES:
                found = Principal(name=str(entry.get("name", "unnamed")), role=role)
        return found


class CallbackKey:
    """Knows the key that the PACS reports new exams with, and nothing else (security.md, "Webhooks and callbacks").

    Parameters
    ----------
    secret
        JSON ``{"secret": …}``; an ``old_secret`` is accepted too while the PACS is being changed over.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def find(self, token: str) -> Principal | None:
        """Give the PACS when `token` is its key, or None."""
        value = self._secret.value()
        known = [str(value[name]) for name in ("secret", "old_secret") if value.get(name)]
        matches = [hmac.compare_digest(token.encode(), key.encode()) for key in known]
        return Principal(name="pacs", role="callback") if any(matches) else None
