"""The exported days of the audit, each record chained to the one before by its hash, and what a check of them finds.

A day is JSON Lines: a head that names the day before and its last hash, the records in the order of time, an end with
their number. ``hash`` of a line is the SHA-256 of the hash before and of the line without it.
"""

import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# The hash before the first day.
BEGINNING = "0" * 64


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Parameters
    ----------
    kind
        ``changed``, ``missing``, ``added`` or ``reordered``.
    day
        Where.
    what
        The record's id, or the part of the file.
    """

    kind: str
    day: str
    what: str

    def __str__(self) -> str:
        return f"{self.day}: {self.kind} {self.what}"


@dataclass(frozen=True)
class Day:
    """A checked day.

    Parameters
    ----------
    records
        Those that the file has, whatever was found.
    end
        The last hash, as it has to be for this content.
    """

    day: str
    records: tuple[dict[str, Any], ...]
    end: str
    findings: tuple[Finding, ...]


def lines_of(day: str, previous: str, records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a day.

    Parameters
    ----------
    previous
        The last hash of the day before, `BEGINNING` for the first.
    records
        In the order of `sort_key`.
    """
    count = 0
    head, last = _linked(previous, {"day": day, "previous": previous})
    yield head
    for record in records:
        line, last = _linked(last, {"record": dict(record)})
        yield line
        count += 1
    yield _linked(last, {"end": day, "count": count})[0]


def sort_key(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the key by which the records of a day are in order."""
    return str(record["at"]), str(record["id"])


def check_day(day: str, previous: str, lines: Iterable[str]) -> Day:
    """Check one day against the hash of the day before it.

    A record that was changed breaks the hashes from there on; only the first break is reported, then the check goes on
    from the hash that is written.
    """
    findings: list[Finding] = []
    records: list[dict[str, Any]] = []
    last, ended = previous, False
    for number, line in enumerate(lines):
        try:
            entry = json.loads(line)
            given = str(entry.pop("hash"))
        except (ValueError, KeyError, AttributeError):
            findings.append(Finding("changed", day, f"line {number + 1}, which cannot be read"))
            continue
        if _hash(last, entry) != given:
            findings.append(Finding(_kind(entry, records), day, _name(entry, number)))
        last, ended = given, "end" in entry
        if "record" in entry:
            records.append(entry["record"])
        if number == 0 and (entry.get("day"), entry.get("previous")) != (day, previous):
            findings.append(Finding("reordered", day, "the day, which does not follow the one before it"))
        if ended and entry.get("count") != len(records):
            findings.append(Finding("missing", day, f"records: {entry.get('count')} were written"))
    if not ended:
        findings.append(Finding("missing", day, "the end of the file"))
    return Day(day, tuple(records), last, tuple(findings))


def compare(day: Day, stored: Iterable[Mapping[str, Any]], now: float) -> Iterator[Finding]:
    """Compare an exported day with the table: what was exported must still be there, the same, until it expires."""
    exported = {str(record["id"]): record for record in day.records}
    for record in stored:
        name = f"record {record['id']} of the table"
        known = exported.pop(str(record["id"]), None)
        if known is None:
            yield Finding("added", day.day, name)
        elif known != record:
            yield Finding("changed", day.day, name)
    for id_, record in exported.items():
        if record.get("expiresAt", 0) > now:
            yield Finding("missing", day.day, f"record {id_} of the table")


def days_between(first: str, last: str) -> Iterator[str]:
    """Yield the days from the first to the last, both included."""
    day, end = datetime.date.fromisoformat(first), datetime.date.fromisoformat(last)
    while day <= end:
        yield day.isoformat()
        day += datetime.timedelta(days=1)


def _linked(previous: str, entry: dict[str, Any]) -> tuple[str, str]:
    hashed = _hash(previous, entry)
    return _text({**entry, "hash": hashed}), hashed


def _hash(previous: str, entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{previous}\n{_text(entry)}".encode()).hexdigest()


def _text(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _kind(entry: Mapping[str, Any], before: list[dict[str, Any]]) -> str:
    record = entry.get("record")
    if isinstance(record, dict) and before and sort_key(record) < sort_key(before[-1]):
        return "reordered"
    return "changed"


def _name(entry: Mapping[str, Any], number: int) -> str:
    if isinstance(entry.get("record"), dict):
        return f"record {entry['record'].get('id')}, or what was before it"
    return "the head" if number == 0 else "the end, or what was before it"
