"""A JSON secret of Secrets Manager, kept in memory for a short time."""

import json
import time
from collections.abc import Callable
from typing import Any

from dicom_service.aws import clients


class Secret:
    """One JSON secret, cached so that a rotation is seen within a minute and a request costs no call.

    Parameters
    ----------
    arn
        Name or ARN in Secrets Manager.
    max_age
        Seconds for which a value read before may be used.
    clock
        Monotonic seconds.
    """

    def __init__(self, arn: str, *, max_age: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.arn = arn
        self._max_age = max_age
        self._clock = clock
        self._value: dict[str, Any] = {}
        self._read_at: float | None = None

    def value(self) -> dict[str, Any]:
        """Return the secret's JSON object."""
        if self._read_at is None or self._clock() - self._read_at > self._max_age:
            text = clients.secretsmanager().get_secret_value(SecretId=self.arn)["SecretString"]
            self._value = json.loads(text)
            self._read_at = self._clock()
        return self._value
