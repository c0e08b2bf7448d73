"""A day as callers write it."""

import datetime
import re

_DAY = re.compile(r"([1-9]\d{3})(-?)(\d{2})\2(\d{2})", re.ASCII)


def read_day(text: str) -> str | None:
    """Return a day of the calendar, ``YYYYMMDD`` or ``YYYY-MM-DD``, as DICOM DA (PS3.5 §6.2); None where it is none."""
    match = _DAY.fullmatch(text)
    if match is None:
        return None
    try:
        datetime.date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None
    return text.replace("-", "")
