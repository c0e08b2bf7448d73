"""The check every UID passes before it reaches a path, a key or a URL."""

from __future__ import annotations

import re

from dicomweb.errors import InvalidUid

UID_PATTERN = r"^[0-9]+(\.[0-9]+)*$"
UID_MAX_LENGTH = 64

_matches = re.compile(UID_PATTERN).fullmatch


def check_uid(value: str) -> str:
    """Return the UID unchanged when it is well formed (PS3.5 section 9.1).

    Leading zeros in a component are let through: the standard forbids them, archives hold them.

    Parameters
    ----------
    value
        What a caller gave as UID.

    Raises
    ------
    InvalidUid
        When it is anything but digits and single dots, or longer than 64 characters.
    """
    if len(value) > UID_MAX_LENGTH or not _matches(value):
        raise InvalidUid("not a DICOM UID: digits and single dots, at most 64 characters")
    return value
