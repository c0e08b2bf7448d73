"""Standard Webhooks signatures (github.com/standard-webhooks, spec §"Signature scheme"), one secret for each URL.

An endpoint's secret is derived from a key that only this service has: a new URL needs no new secret, no endpoint can
sign for another, and one change of the key rotates all. While a previous key is kept, messages have both signatures.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

PREFIX = "whsec_"


def endpoint_secrets(keys: Mapping[str, Any], url: str) -> list[str]:
    """Derive an endpoint's secrets in the form that its receiver gets, the current one first.

    Parameters
    ----------
    keys
        ``current`` and, while rotating, ``previous``: random text of at least 32 characters.
    url
        The endpoint, exactly as in ``CALLBACK_URLS``.
    """
    ordered = [keys["current"], *([keys["previous"]] if keys.get("previous") else [])]
    derived = [hmac.digest(key.encode(), f"dicom-service webhook {url}".encode(), hashlib.sha256) for key in ordered]
    return [PREFIX + base64.b64encode(secret).decode() for secret in derived]


def sign(secret: str, message_id: str, timestamp: int, payload: bytes) -> str:
    """Return one signature, ``v1,<base64>``."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + payload
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(secrets: list[str], message_id: str, timestamp: int, payload: bytes) -> dict[str, str]:
    """Return the three headers of a delivery; `timestamp` in seconds, fresh for each attempt."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, payload) for secret in secrets),
    }
