"""What a UID looks like (PS3.5 §9.1)."""

import re

UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_uid(value: str) -> bool:
    """Tell whether `value` is a UID and so safe in a path, a key or a URL."""
    return len(value) <= 64 and UID.fullmatch(value) is not None
