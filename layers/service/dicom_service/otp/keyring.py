"""Master secrets by key id, so that a new key can be added while codes derived from the old one still work.

The secret is a flat JSON object, ``{"current": "k2", "k1": "…", "k2": "…"}``. Each code stores the id of its key.
docs/otp.md describes the rotation.
"""

from collections.abc import Callable

from dicom_service.aws import Secret
from dicom_service.errors import SettingsError

SHORTEST_KEY = 32


class Keyring:
    """Finds master secrets by key id.

    Parameters
    ----------
    open_secret
        Opens the secret; called again when a code names a key that the copy in memory lacks.
    """

    def __init__(self, open_secret: Callable[[], Secret]) -> None:
        self._open = open_secret
        self._secret = open_secret()

    @classmethod
    def of(cls, arn: str) -> "Keyring":
        """Return the keyring stored under `arn` in Secrets Manager."""
        return cls(lambda: Secret(arn))

    def current(self) -> tuple[str, bytes]:
        """Return the id and the master secret for new codes.

        Raises
        ------
        SettingsError
            The secret names no current key, or the key is too short.
        """
        key_id = self._secret.value().get("current")
        key = self.find(key_id) if isinstance(key_id, str) else None
        if not isinstance(key_id, str) or key is None:
            raise SettingsError("The master secret of the one-time passwords has no current key.")
        return key_id, key

    def all(self) -> dict[str, bytes]:
        """Return every key by its id."""
        found = {key_id: self.find(key_id) for key_id in self._secret.value()}
        return {key_id: key for key_id, key in found.items() if key is not None}

    def find(self, key_id: str) -> bytes | None:
        """Return the master secret with this id, or None if it no longer exists.

        Raises
        ------
        SettingsError
            The key is shorter than 32 characters.
        """
        if key_id not in self._secret.value():
            # Added after this copy was read: another function has already derived codes from it.
            self._secret = self._open()
        text = self._secret.value().get(key_id)
        if not isinstance(text, str) or key_id == "current":
            return None
        if len(text) < SHORTEST_KEY:
            raise SettingsError("A master secret of the one-time passwords is shorter than 32 characters.")
        return text.encode()
