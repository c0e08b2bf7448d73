"""One limit for wrong redemptions across all codes, which locks no owner out.

Each code is locked at its fifth wrong try, but someone who knows many otpIds gets five tries at each. So all wrong
tries of five minutes are counted together. Once there are too many, networks that sent one of them are rejected until
the five minutes are over, before anything is charged or compared; all others go on. From one network guessing stops at
the limit, from N networks at the limit plus N, and an owner elsewhere notices nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from dicom_service import aws
from dicom_service.errors import ServiceError
from dicom_service.log import hashed
from dicom_service.otp.audit_log import network_of
from dicom_service.settings import setting

WINDOW = 300
_DAY = 86_400
_ALL = "#all"
_BUSY = "One-time passwords cannot be looked up at the moment; try again."


class TooManyWrongCodes(ServiceError):
    """Too many wrong codes came within five minutes, one of them from this network."""

    status = 429
    default_code = "TOO_MANY_WRONG_CODES"


@dataclass(frozen=True)
class GuessSettings:
    """The limit, and the table that counts, which is that of the codes' subjects."""

    table: str = setting("OTP_SUBJECTS_TABLE")
    most: int = setting("MOST_WRONG_CODES", cast=int, default=100)


class Guesses:
    """Counts wrong redemptions.

    Parameters
    ----------
    settings
        The limit and the table.
    clock
        Seconds since the epoch.
    """

    def __init__(self, settings: GuessSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock

    def check(self, address: str) -> None:
        """Reject an address whose network has guessed wrong while too many did.

        Raises
        ------
        TooManyWrongCodes
            With ``Retry-After``: the end of the five minutes.
        """
        window, own = self._window(), _network(address)
        with aws.errors(_BUSY):
            rows = list(aws.batch_get(self._settings.table, [_key(window, name) for name in (_ALL, own)]))
        misses = {row["otpId"]: row["misses"] for row in rows}
        if misses.get(_ALL, 0) >= self._settings.most and own in misses:
            wait = (window + 1) * WINDOW - int(self._clock())
            detail = "Too many wrong codes; try again after the time in Retry-After."
            raise TooManyWrongCodes(detail, headers={"Retry-After": str(max(1, wait))})

    def count(self, address: str) -> None:
        """Count a wrong redemption."""
        window = self._window()
        for name in (_ALL, _network(address)):
            values = aws.to_item({":one": 1, ":tidyAt": (window + 1) * WINDOW + _DAY})
            with aws.errors(_BUSY):
                aws.dynamodb().update_item(
                    TableName=self._settings.table,
                    Key=aws.to_item(_key(window, name)),
                    UpdateExpression="SET tidyAt = :tidyAt ADD misses :one",
                    ExpressionAttributeValues=values,
                )

    def _window(self) -> int:
        return int(self._clock()) // WINDOW


def _key(window: int, name: str) -> dict[str, str]:
    return {"subject": f"wrong#{window}", "otpId": name}


def _network(address: str) -> str:
    return hashed(network_of(address) or "none")
