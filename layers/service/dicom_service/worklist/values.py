"""Validates one value of a workitem and normalizes it to its DICOM form (PS3.5 §6.2)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

from dicomweb.errors import InvalidUid
from dicomweb.uid import check_uid
from dicomweb.worklist.attributes import Attribute

MAX_LENGTH = {"AE": 16, "CS": 16, "LO": 64, "SH": 16}
"""Longest value in characters, by value representation."""

_NAME_GROUP_LENGTH = 64
_CODE = re.compile(r"[A-Z0-9_ ]+")
_DATE = re.compile(r"([1-9]\d{3})(-?)(\d{2})\2(\d{2})", re.ASCII)
_TIME = re.compile(r"(\d{2})(?:(:?)(\d{2})(?:\2(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)


class BadValue(ValueError):
    """An invalid value; the message says what is wrong with it, never the value."""


def checked(attribute: Attribute, value: str) -> str:
    """Return a value in its DICOM form: padding removed, ISO 8601 dates and times rewritten.

    Raises
    ------
    BadValue
        Its value representation (PS3.5 Table 6.2-1) does not allow it, or PS3.3 does not enumerate it.
    """
    _reject_controls(value)
    parts = value.split("\\") if attribute.multiple else [value]
    # Padding counts: the limit is that of the value as it is sent.
    longest = MAX_LENGTH.get(attribute.vr)
    if longest and any(len(part) > longest for part in parts):
        raise BadValue(f"is longer than {longest} characters")
    result = "\\".join(_CHECKS[attribute.vr](part.strip(" ")) for part in parts)
    if result and attribute.values and result not in attribute.values:
        raise BadValue(f"must be one of {', '.join(attribute.values)}")
    return result


def _reject_controls(value: str) -> None:
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in value):
        raise BadValue("has control characters")
    if any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise BadValue("has half a Unicode character")


def _bounded(vr: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if "\\" in value:
            raise BadValue("has a backslash, which separates values")
        if len(value) > MAX_LENGTH[vr]:
            raise BadValue(f"is longer than {MAX_LENGTH[vr]} characters")
        return value

    return check


def _title(value: str) -> str:
    if not value.isascii():
        raise BadValue("may have only ASCII characters")
    return _bounded("AE")(value)


def _code(value: str) -> str:
    if value and not _CODE.fullmatch(value):
        raise BadValue("may have only capital letters, digits, underscores and spaces")
    return _bounded("CS")(value)


def _uid(value: str) -> str:
    try:
        return check_uid(value) if value else value
    except InvalidUid as error:
        raise BadValue("is not a UID: digits and single dots, at most 64 characters") from error


def _name(value: str) -> str:
    if "\\" in value:
        raise BadValue("has a backslash, which separates values")
    groups = value.split("=")
    if len(groups) > 3:
        raise BadValue("has more than 3 component groups")
    if any(len(group) > _NAME_GROUP_LENGTH for group in groups):
        raise BadValue(f"has a component group longer than {_NAME_GROUP_LENGTH} characters")
    if any(group.count("^") > 4 for group in groups):
        raise BadValue("has more than 5 components in a group")
    if value and not value.replace("^", "").replace("=", "").strip():
        raise BadValue("has only delimiters")
    return value.rstrip("=")


def _date(value: str) -> str:
    match = _DATE.fullmatch(value)
    if value and not match:
        raise BadValue("is not a date: YYYYMMDD or YYYY-MM-DD")
    if match:
        try:
            datetime.date(int(match[1]), int(match[3]), int(match[4]))
        except ValueError as error:
            raise BadValue("is not a day of the calendar") from error
    return value.replace("-", "")


def _time(value: str) -> str:
    match = _TIME.fullmatch(value)
    if value and not match:
        raise BadValue("is not a time: HH, HHMM, HHMMSS, HHMMSS.FFFFFF or with colons, without a time zone")
    if match and (int(match[1]) > 23 or int(match[3] or 0) > 59 or int(match[4] or 0) > 60):
        raise BadValue("is not a time of the day")
    return value.replace(":", "")


def _number(value: str) -> str:
    if value and not (value.isascii() and value.isdecimal() and int(value) < 1 << 16):
        raise BadValue("is not a whole number from 0 to 65535")
    return str(int(value)) if value else ""


_CHECKS: dict[str, Callable[[str], str]] = {
    "AE": _title,
    "CS": _code,
    "DA": _date,
    "LO": _bounded("LO"),
    "PN": _name,
    "SH": _bounded("SH"),
    "TM": _time,
    "UI": _uid,
    "US": _number,
}
