"""The check every UID passes before it reaches a path, a key or a URL."""

from __future__ import annotations

import re

from dicomweb.errors import InvalidUid

MAX_LENGTH = 64

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_uid(value: str) -> bool:
    """Return whether a text is a UID (PS3.5 section 9.1), and so safe in a path, a key or a URL.

    Leading zeros in a component are accepted: the standard forbids them, but archives hold them.
    """
    return len(value) <= MAX_LENGTH and _UID.fullmatch(value) is not None


def check_uid(value: str) -> str:
    """Return the UID unchanged when it is well formed.

    Raises
    ------
    InvalidUid
        `is_uid` is false.
    """
    if not is_uid(value):
        raise InvalidUid("not a DICOM UID: digits and single dots, at most 64 characters")
    return value
