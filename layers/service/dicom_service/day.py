"""Days and times as callers write and read them."""

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


def iso(seconds: float) -> str:
    """Return a time in the form of the API, such as ``2026-11-22T12:00:00Z``."""
    return _in_utc(datetime.datetime.fromtimestamp(int(seconds), datetime.UTC), "seconds")


def iso_milliseconds(moment: datetime.datetime) -> str:
    """Return a time as RFC 3339 in UTC, to the millisecond; texts of this form sort like times."""
    return _in_utc(moment, "milliseconds")


def _in_utc(moment: datetime.datetime, unit: str) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec=unit).replace("+00:00", "Z")
