"""Service keys: long random secrets of machine clients; only their SHA-256 is kept (api.md, "Authentication")."""

import datetime
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from dicom_service.auth.principal import ROLES, Principal, organisation
from dicom_service.aws import Secret


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class ServiceKeys:
    """Looks up the client of a service key.

    Parameters
    ----------
    secret
        JSON ``{"keys": [{"name": …, "role": …, "sha256": …, "notAfter": …, "organisation": …}]}``; read again every
        minute, so a key is added or withdrawn without a deployment. ``notAfter`` is optional, an ISO 8601 time with its
        offset or ``Z``; a key whose ``notAfter`` cannot be read is no key. ``organisation`` is for the audit, whose
        key it is.
    clock
        The time, with its zone.
    """

    def __init__(self, secret: Secret, *, clock: Callable[[], datetime.datetime] = _now) -> None:
        self._secret = secret
        self._clock = clock

    def find(self, token: str) -> Principal | None:
        """Return the client whose key `token` is, or None.

        Every stored hash is compared, in constant time, so that the time taken reveals nothing.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for entry in self._secret.value().get("keys", []):
            role = entry.get("role", "service")
            if (
                hmac.compare_digest(str(entry.get("sha256", "")).lower(), digest)
                and role in ROLES
                and self._holds(entry)
            ):
                found = Principal(str(entry.get("name", "unnamed")), role, context=organisation(entry))
        return found

    def _holds(self, entry: Mapping[str, Any]) -> bool:
        not_after = entry.get("notAfter")
        if not_after is None:
            return True
        try:
            end = datetime.datetime.fromisoformat(str(not_after))
        except ValueError:
            return False
        # A time without a zone could expire hours too late.
        return end.tzinfo is not None and self._clock() <= end


class CallbackKey:
    """Accepts the key with which the PACS reports new exams, and nothing else (security.md, "Webhooks and callbacks").

    Parameters
    ----------
    secret
        JSON ``{"secret": …}``; an ``old_secret`` is accepted too while the PACS is being changed over.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def find(self, token: str) -> Principal | None:
        """Return the PACS when `token` is its key, or None."""
        value = self._secret.value()
        known = [str(value[name]) for name in ("secret", "old_secret") if value.get(name)]
        matches = [hmac.compare_digest(token.encode(), key.encode()) for key in known]
        return Principal(name="pacs", role="callback") if any(matches) else None
