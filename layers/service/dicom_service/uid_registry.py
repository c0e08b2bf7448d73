"""Unique DICOM UIDs: registered before they are returned, never issued twice (PS3.5 §9, Annex B).

A call registers one random block prefix with one conditional write and numbers its UIDs below it, so 10,000 UIDs cost
the same write as one. Two callers can only collide on the prefix, and then the condition makes the later one draw
again.

===================  =================================================  ==========
form                 shape                                              longest
===================  =================================================  ==========
root configured      ``<root>.<39 random digits at most>.<1..10000>``   root + 46
no root              ``2.25.<UUID as integer>.<1..10000>``              50
===================  =================================================  ==========
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from dicom_service import aws
from dicom_service.errors import Unavailable
from dicom_service.settings import load, setting
from dicomweb.uid import MAX_LENGTH, is_uid

MAX_COUNT = 10_000
_BUSY = "UIDs cannot be registered at the moment; try again."
# One dot, the block prefix, one dot, the counter: at least 19 random digits (63 bits) must fit behind the root.
_COUNTER_DIGITS = len(str(MAX_COUNT))
_FEWEST_RANDOM_DIGITS = 19
LONGEST_ROOT = MAX_LENGTH - 2 - _COUNTER_DIGITS - _FEWEST_RANDOM_DIGITS


def uid_root(text: str) -> str:
    """Cast a UID root: components without leading zeros, first 0–2, room left for the rest (PS3.5 §9.1).

    Raises
    ------
    ValueError
        The text is not the beginning of a valid UID, or is too long.
    """
    parts = text.split(".")
    well_formed = is_uid(text) and all(part == "0" or not part.startswith("0") for part in parts)
    if not well_formed or parts[0] not in {"0", "1", "2"} or len(parts) < 2 or len(text) > LONGEST_ROOT:
        raise ValueError("not a UID root")
    if parts[0] in {"0", "1"} and int(parts[1]) > 39:
        raise ValueError("the second component is at most 39 below 0 and 1")
    return text


@dataclass(frozen=True)
class UidSettings:
    """The table that UIDs are registered in, and the root they are made under."""

    table: str = setting("UIDS_TABLE")
    root: str | None = setting("DICOM_UID_ROOT", cast=uid_root, default=None)


class UidRegistry:
    """Issues UIDs that were never issued before.

    Parameters
    ----------
    settings
        Table and root.
    random_below
        Source of randomness; tests let it collide.
    """

    def __init__(self, settings: UidSettings, *, random_below: Callable[[int], int] = secrets.randbelow) -> None:
        self._settings = settings
        self._random_below = random_below

    def take(self, count: int = 1) -> list[str]:
        """Register a block and return `count` UIDs of it.

        Parameters
        ----------
        count
            1 to 10,000; each call costs one write.
        """
        prefix = self._register(count)
        return [f"{prefix}.{number}" for number in range(1, count + 1)]

    def _register(self, count: int) -> str:
        for _ in range(5):
            prefix = self._draw()
            try:
                with aws.errors(_BUSY):
                    aws.patiently(partial(self._put, prefix, count))
            except aws.ConditionFailed:
                continue
            return prefix
        raise Unavailable(_BUSY)

    def _put(self, prefix: str, count: int) -> None:
        aws.dynamodb().put_item(
            TableName=self._settings.table,
            Item=aws.to_item({"prefix": prefix, "count": count, "registeredAt": int(time.time())}),
            ConditionExpression="attribute_not_exists(#prefix)",
            ExpressionAttributeNames={"#prefix": "prefix"},
        )

    def _draw(self) -> str:
        root = self._settings.root
        if root is None:
            # RFC 9562 version 4: the variant and version bits are part of what PS3.5 B.2 turns into an integer.
            number = self._random_below(1 << 128)
            number = number & ~(0xF << 76) | 0x4 << 76
            number = number & ~(0x3 << 62) | 0x2 << 62
            return f"2.25.{number}"
        digits = min(39, MAX_LENGTH - len(root) - 2 - _COUNTER_DIGITS)
        lowest = 10 ** (digits - 1)
        return f"{root}.{lowest + self._random_below(9 * lowest)}"


@cache
def uid_registry() -> UidRegistry:
    """Return the registry of this deployment."""
    return UidRegistry(load(UidSettings))
