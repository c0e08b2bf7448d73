"""The daily export: each day that has ended becomes one object, chained to the day before it (docs/audit.md).

A day is never in memory as a whole: its records flow from the table through a file to the bucket.
"""

import datetime
import gzip
import json
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from dicom_service import aws, log
from dicom_service.audit.chain import BEGINNING, Day, check_day, days_between, lines_of, sort_key
from dicom_service.audit.store import BY_DAY, AuditReader, AuditTable
from dicom_service.errors import Unavailable
from dicom_service.settings import setting

logger = log.get_logger()

PREFIX = "accesses/"
# A day is complete when no function can still be running that began in it, and the index has caught up.
_SETTLED = datetime.timedelta(minutes=20)
# How far back the first export looks.
FIRST_DAYS = 400
_UNREADABLE = "The exported days cannot be read at the moment; try again."


@dataclass(frozen=True)
class ExportSettings(AuditTable):
    """Where the records are, and where their days go."""

    bucket: str = setting("AUDIT_BUCKET")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class ExportedDays:
    """The exported days in their bucket.

    Parameters
    ----------
    bucket
        Its name.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def days(self) -> list[str]:
        """Return the days that are there, in order."""
        with aws.errors(_UNREADABLE):
            pages = aws.s3().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=PREFIX)
            keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return sorted(key.rpartition("/")[2].removesuffix(".jsonl.gz") for key in keys)

    def read(self, day: str, previous: str) -> Day:
        """Return a day, checked against the last hash of the day before."""
        with aws.errors(_UNREADABLE):
            data = aws.s3().get_object(Bucket=self._bucket, Key=_key(day))["Body"].read()
        try:
            text = gzip.decompress(data).decode()
        except (OSError, EOFError, ValueError):
            text = ""
        return check_day(day, previous, text.splitlines())

    def start_of(self, day: str) -> str:
        """Return the hash that a day says it follows; `BEGINNING` where that cannot be read."""
        return str(self._line_of(day, lambda lines: next(lines, "")).get("previous", BEGINNING))

    def end_of(self, day: str) -> str:
        """Return the last hash of a day as it is written.

        Raises
        ------
        Unavailable
            The day is not there, or has no end.
        """
        entry = self._line_of(day, lambda lines: deque(lines, maxlen=1).pop())
        if "end" not in entry or "hash" not in entry:
            raise Unavailable("The last exported day of the audit is damaged; see python -m scripts.verify_audit.")
        return str(entry["hash"])

    def _line_of(self, day: str, choose: Callable[[Iterator[str]], str]) -> dict[str, Any]:
        """Return a line of a day, which is read as a stream; empty where it cannot be read."""
        with aws.errors(_UNREADABLE):
            body = aws.s3().get_object(Bucket=self._bucket, Key=_key(day))["Body"]
            try:
                with gzip.open(body, "rt", encoding="utf-8") as lines:
                    return dict(json.loads(choose(lines)))
            except (gzip.BadGzipFile, EOFError, IndexError, ValueError, TypeError, zlib.error):
                return {}

    def write(self, day: str, lines: Iterable[str]) -> dict[str, Any]:
        """Write a day, once: what is there already stays; return its last line."""
        line = ""
        with tempfile.TemporaryFile() as file:
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
                for line in lines:
                    packed.write(f"{line}\n".encode())
            file.seek(0)
            with aws.errors("The days of the audit cannot be written at the moment; try again."):
                aws.s3().put_object(
                    Bucket=self._bucket, Key=_key(day), Body=file, ContentType="application/gzip", IfNoneMatch="*"
                )
        return dict(json.loads(line))


class Exporter:
    """Exports the days that have ended and are not exported yet.

    Parameters
    ----------
    clock
        The time, with its zone.
    """

    def __init__(
        self, reader: AuditReader, exported: ExportedDays, *, clock: Callable[[], datetime.datetime] = _now
    ) -> None:
        self._reader = reader
        self._exported = exported
        self._clock = clock

    def run(self) -> list[str]:
        """Export what is due; return the days.

        Raises
        ------
        Unavailable
            Table or bucket do not answer; the next run goes on from there.
        """
        yesterday = (self._clock() - _SETTLED - datetime.timedelta(days=1)).date()
        done = self._exported.days()
        if done:
            previous = self._exported.end_of(done[-1])
            first = datetime.date.fromisoformat(done[-1]) + datetime.timedelta(days=1)
        else:
            previous, first = BEGINNING, self._first(yesterday)
        exported = []
        for day in days_between(first.isoformat(), yesterday.isoformat()):
            records = _in_order(self._reader.find(BY_DAY, day, newest_first=False))
            end = self._exported.write(day, lines_of(day, previous, records))
            previous = str(end["hash"])
            exported.append(day)
            logger.info("a day of the audit exported", extra={"day": day, "records": end["count"], "end": previous})
        return exported

    def _first(self, yesterday: datetime.date) -> datetime.date:
        for number in range(FIRST_DAYS, 0, -1):
            day = yesterday - datetime.timedelta(days=number)
            if next(self._reader.find(BY_DAY, day.isoformat()), None):
                return day
        return yesterday


def _in_order(records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield records that are in the order of time, those of one instant in the order of `sort_key`."""
    for _, instant in groupby(records, key=lambda record: record["at"]):
        yield from sorted(instant, key=sort_key)


def _key(day: str) -> str:
    return f"{PREFIX}{day[:4]}/{day}.jsonl.gz"
