"""Keeps what the PACS returned in the cache bucket, and has one of many callers ask for it.

An object is either whole or the lease of the one caller that is making it, which holds for `LEASE_TIMEOUT` seconds. The
others wait for it. Where they have waited for too long, or the bucket fails, they ask the PACS themselves: a cache
costs time, never an answer. A caller that has just missed one object, such as a viewer that opens a series, will
probably miss the next: it takes the lease without looking first.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dicom_service import aws, log
from dicom_service.exams.instance_cache import CacheSettings

logger = log.get_logger()

VERSION = "version"
"""Attribute of what is kept: it names these bytes, and no others that are ever kept under this key or another."""

LEASE_TIMEOUT = 30.0
"""Seconds after which a lease counts as abandoned: a request lives no longer."""

WAIT_FOR = 12.0
_BEING_MADE = "being-made"
_MOST_TRIES = 60
_NOT_AVAILABLE = "The cache cannot be used at the moment; try again."


@dataclass(frozen=True)
class Entry:
    """What is kept under one key.

    Parameters
    ----------
    body
        Its bytes.
    attributes
        Short texts that describe them.
    """

    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)

    def as_new(self) -> "Entry":
        """Return this with a version of its own."""
        return replace(self, attributes={**self.attributes, VERSION: secrets.token_hex(8)})


@dataclass(frozen=True)
class _Lease:
    etag: str
    age: float


class SharedCache:
    """Entries in the cache bucket, for as long as its lifecycle rule keeps them.

    Parameters
    ----------
    settings
        The bucket.
    clock
        Monotonic seconds.
    """

    def __init__(self, settings: CacheSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = settings.bucket
        self._clock = clock
        self._has_missed = False

    def get(self, key: str, make: Callable[[], Entry]) -> Entry:
        """Return the entry of a key; make it where there is none and nobody else is making it.

        Parameters
        ----------
        make
            Makes the entry; its error is the caller's, and the next caller tries again.
        """
        try:
            found = self._found_or_leased(key)
        except aws.AwsError as error:
            logger.warning("cache not usable", extra=log.describe(error))
            return make()
        return found or self._made(key, make)

    def put(self, key: str, entry: Entry) -> Entry:
        """Keep an entry and return it as it is kept, with its version; one that cannot be kept has none."""
        kept = entry.as_new()
        with aws.tolerated("cache not writable"):
            aws.s3().put_object(Bucket=self._bucket, Key=key, Body=kept.body, Metadata=dict(kept.attributes))
            return kept
        return entry

    def put_new(self, key: str, entry: Entry) -> None:
        """Keep an entry that nobody has asked for yet; one that is kept, or being made, stays as it is."""
        kept = entry.as_new()
        with aws.tolerated("cache not writable"):
            aws.put_unchanged(self._bucket, key, kept.body, None, _NOT_AVAILABLE, Metadata=dict(kept.attributes))

    def hand_over(self, key: str, body: bytes, content_type: str, *, seconds: int = 60) -> str:
        """Store a body that does not fit into an answer; return a URL that opens it to anyone for some seconds.

        Raises
        ------
        Unavailable
            The bucket does not take it.
        """
        with aws.errors(_NOT_AVAILABLE):
            aws.s3().put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)
        return aws.presigned_url(self._bucket, key, seconds)

    def _made(self, key: str, make: Callable[[], Entry]) -> Entry:
        stored = False
        try:
            kept = self.put(key, make())
            stored = VERSION in kept.attributes
            return kept
        finally:
            if not stored:
                with aws.tolerated("lease not released"):
                    aws.s3().delete_object(Bucket=self._bucket, Key=key)

    def _found_or_leased(self, key: str) -> Entry | None:
        """Return the entry, maybe after another caller has made it; None where this caller is to make it."""
        if self._has_missed and self._lease(key, None):
            return None
        found = self._read(key)
        self._has_missed = found is None
        if isinstance(found, Entry):
            return found
        if (found is None or found.age > LEASE_TIMEOUT) and self._lease(key, found):
            return None
        return self._wait(key)

    def _wait(self, key: str) -> Entry | None:
        """Wait for another caller's entry; None when there will be none in time."""
        until = self._clock() + WAIT_FOR
        for _ in _attempts(lambda: self._clock() < until):
            found = self._read(key)
            if isinstance(found, Entry):
                return found
            if found is None:
                # The other caller failed: what stopped it may stop this one too, and says so better than a wait.
                return None
        return None

    def _read(self, key: str) -> Entry | _Lease | None:
        try:
            with aws.errors(_NOT_AVAILABLE):
                found: Any = aws.s3().get_object(Bucket=self._bucket, Key=key)
                body = found["Body"].read()
        except aws.Missing:
            return None
        attributes = found["Metadata"]
        if _BEING_MADE in attributes:
            return _Lease(found["ETag"], (datetime.now(UTC) - found["LastModified"]).total_seconds())
        return Entry(body, attributes)

    def _lease(self, key: str, seen: _Lease | None) -> bool:
        etag = seen.etag if seen else None
        return aws.put_unchanged(self._bucket, key, b"", etag, _NOT_AVAILABLE, Metadata={_BEING_MADE: "yes"})


def _attempts(go_on: Callable[[], bool]) -> Iterator[int]:
    for attempt in aws.tries(_MOST_TRIES):
        if not go_on():
            return
        yield attempt
