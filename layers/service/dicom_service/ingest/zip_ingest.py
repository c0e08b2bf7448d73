"""Stores the instances of a staged ZIP, a stretch of entries at a time, and goes on where it stopped."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dicom_service.audit.arrivals import Arrivals
from dicom_service.element_walk import NotDicom
from dicom_service.exams.registry import Arrived
from dicom_service.ingest.jobs import Job
from dicom_service.ingest.sender import Sender, Sent
from dicom_service.ingest.settings import IngestSettings
from dicom_service.ingest.zip_reader import SMALL_ENTRY, Entry, Limits, ZipRejected, walk
from dicom_service.part10 import Header
from dicom_service.settings import MIB
from dicom_service.storing.failure_reasons import (
    DETAILS,
    NO_INSTANCES,
    NOT_AN_INSTANCE,
    PARTLY_STORED,
    WAITING,
    StoreFailure,
)
from dicom_service.storing.outbound_instance import OutboundInstance, open_instance
from dicom_service.uploads.file_result import FileResult
from dicom_service.uploads.staged_object import StagedObject
from dicom_service.uploads.table import UploadsTable, read_entries

# A stretch ends after so many entries or unpacked bytes: a crash makes two of them to be done again at most.
STRETCH_ENTRIES = 240
STRETCH_BYTES = 256 * MIB
# A transaction of the registry takes so many and the study's item.
RECORDED_AT_ONCE = 99
# Requests that are on their way at once hold their entries in memory.
_REQUEST_BYTES = 8 * MIB
# Requests that are on their way.
_UnderWay = set[Future[list[Sent]]]


class Postponed(Exception):
    """Time is nearly over; the next invocation goes on."""


class RetryLater(Exception):
    """The PACS does not take an instance of the ZIP now.

    Parameters
    ----------
    failure
        Why, for all of them together.
    """

    def __init__(self, failure: StoreFailure) -> None:
        super().__init__("later")
        self.failure = failure


@dataclass
class _Request:
    """Entries on their way to the PACS; their bytes belong to the request alone and go with it."""

    entries: list[tuple[int, str, Header]]
    failures: Future[list[Sent]]


@dataclass
class _Stretch:
    """Entries that are sent and then recorded together.

    Parameters
    ----------
    start
        Number of the first.
    sent
        The requests they are in.
    results
        What became of those that are in none, by number.
    last
        Whether no other stretch follows.
    """

    start: int
    sent: list[_Request]
    results: dict[int, dict[str, Any]]
    last: bool = False

    @property
    def entries(self) -> int:
        """How many entries it has."""
        return len(self.results) + sum(len(request.entries) for request in self.sent)


class _Registrar:
    """Registers what the PACS has while the rest is being sent, by one thread: two would meet at the study's item.

    Parameters
    ----------
    record
        Registers instances.
    thread
        Where it runs.
    """

    def __init__(self, record: Callable[[Sequence[Arrived]], None], thread: Executor) -> None:
        self._record = record
        self._thread = thread
        self._lock = threading.Lock()
        self._waiting: list[Arrived] = []
        self._recorded: list[Future[None]] = []

    def add(self, stored: Sequence[Arrived]) -> None:
        """Register these together with others, as many as one transaction takes."""
        with self._lock:
            self._waiting += stored
            if len(self._waiting) >= RECORDED_AT_ONCE:
                taken, self._waiting = self._waiting[:RECORDED_AT_ONCE], self._waiting[RECORDED_AT_ONCE:]
                self._recorded.append(self._thread.submit(self._record, taken))

    def run(self, step: Callable[[], None]) -> None:
        """Do something else in the same thread; what it raises is raised by `finish`."""
        with self._lock:
            self._recorded.append(self._thread.submit(step))

    def finish(self) -> None:
        """Register what has come so far and wait for it; raise what the registry raised."""
        with self._lock:
            self._recorded.append(self._thread.submit(self._record, self._waiting))
            recorded, self._recorded, self._waiting = self._recorded, [], []
        for each in recorded:
            each.result()


class ZipIngest:
    """Reads ZIPs from S3 and sends the instances in them.

    Parameters
    ----------
    settings
        Limits and sizes.
    table, arrivals
        Where finished stretches and instances are recorded.
    sender
        Sends instances.
    pool
        Runs the requests to the PACS.
    """

    def __init__(
        self, settings: IngestSettings, table: UploadsTable, arrivals: Arrivals, sender: Sender, pool: Executor
    ) -> None:
        self._settings = settings
        self._limits = Limits(settings.zip_entries, settings.zip_bytes, settings.zip_ratio, settings.spool_bytes)
        self._table = table
        self._arrivals = arrivals
        self._sender = sender
        self._pool = pool

    def store(self, job: Job, in_time: Callable[[], bool]) -> FileResult:
        """Store a ZIP's instances to its end, from where an earlier call stopped.

        Parameters
        ----------
        job
            The ZIP.
        in_time
            Whether there is time for another stretch.

        Raises
        ------
        ZipRejected
            The ZIP as a whole is not read.
        RetryLater
            The PACS does not take an instance now; what is finished stays so.
        Postponed
            No time is left.
        Unavailable, ObjectMissing, StorageError
            A table or the bucket fails.
        """
        key = job.staged.tracked
        before = self._table.entries(key)
        if not (before and before[-1]["last"]):
            start = sum(item["entries"] for item in before)
            # Of the entries that are done, which are skipped, hardly anything is read.
            job.source.expect_all(not start)
            with ThreadPoolExecutor(1) as thread:
                registrar = _Registrar(partial(self._record, job.staged), thread)
                requests: _UnderWay = set()
                try:
                    self._store_from(start, job, requests, registrar, in_time)
                finally:
                    wait(requests)
                    # The PACS has what was under way at an error: the ZIP does not end while that is not registered.
                    registrar.finish()
        return _summary(job, [entry for item in self._table.entries(key) for entry in read_entries(item)])

    def _store_from(
        self, start: int, job: Job, requests: _UnderWay, registrar: _Registrar, in_time: Callable[[], bool]
    ) -> None:
        """Send stretch after stretch; each is recorded once the next is on its way, so that no connection waits."""
        unrecorded: _Stretch | None = None
        try:
            for entries, last in _stretches(walk(job.source, self._limits, first=start)):
                if not in_time():
                    raise Postponed
                if job.staged.session:
                    # That its ZIP is worked off keeps an upload open.
                    registrar.run(partial(self._table.received, job.staged.tracked))
                stretch = self._send(start, entries, requests, registrar)
                stretch.last = last()
                start += stretch.entries
                before, unrecorded = unrecorded, None
                if before:
                    self._end(before, job, registrar)
                unrecorded = stretch
        finally:
            # Not where the one before it failed: entries are recorded in order.
            if unrecorded:
                self._end(unrecorded, job, registrar)

    def _end(self, stretch: _Stretch, job: Job, registrar: _Registrar) -> None:
        """Wait for a stretch, and record what became of its entries."""
        results, retried = stretch.results, []
        for request in stretch.sent:
            for (number, name, header), failure in zip(request.entries, request.failures.result(), strict=True):
                if failure and not failure.permanent(job.refusals):
                    retried.append(failure)
                results[number] = _entry_result(name, header, failure)
        registrar.finish()
        if retried:
            retry_after = max(failure.retry_after or 0 for failure in retried) or None
            rejected = any(failure.rejected for failure in retried)
            raise RetryLater(replace(WAITING, retry_after=retry_after, rejected=rejected))
        entries = [results[number] for number in sorted(results)]
        self._table.put_entries(job.staged.tracked, stretch.start, entries, last=stretch.last)

    def _record(self, staged: StagedObject, arrived: Sequence[Arrived]) -> None:
        """Register instances of a ZIP."""
        if arrived:
            self._arrivals.record(arrived, staged)

    def _send(self, start: int, entries: Iterator[Entry], requests: _UnderWay, registrar: _Registrar) -> _Stretch:
        stretch = _Stretch(start, [], {})
        batch: list[tuple[int, str, OutboundInstance]] = []
        size = 0
        uids: set[str] = set()

        def submit() -> _Request:
            nonlocal batch, size, uids
            request = self._submit(batch, requests, registrar)
            stretch.sent.append(request)
            batch, size, uids = [], 0, set()
            return request

        for entry in entries:
            try:
                instance = self._open(entry)
            except (NotDicom, ZipRejected) as error:
                stretch.results[entry.number] = _entry_failure(entry.name, error.reason, error.detail)
                continue
            uid = instance.header.sop_instance_uid
            full = len(batch) >= self._settings.batch_parts or size + instance.size > _REQUEST_BYTES
            if batch and (full or uid in uids):
                submit()
            batch.append((entry.number, entry.name, instance))
            size += instance.size
            uids.add(uid)
            if max(instance.size, entry.size) > min(_REQUEST_BYTES, SMALL_ENTRY):
                # Too large to be held in memory: it lies in a file, which goes with the next entry.
                submit().failures.result()
        if batch:
            submit()
        return stretch

    def _open(self, entry: Entry) -> OutboundInstance:
        if entry.error:
            raise entry.error
        limits = self._settings
        return open_instance(entry.source(), max_inflated=limits.max_inflated, max_depth=limits.max_depth)

    def _submit(
        self, batch: list[tuple[int, str, OutboundInstance]], requests: _UnderWay, registrar: _Registrar
    ) -> _Request:
        """Send a batch, once fewer requests than there are connections are on their way."""
        if len(requests) >= self._settings.connections:
            # Whichever is first: the PACS may take several times as long for one request as for the next.
            wait(requests, return_when=FIRST_COMPLETED)
        for request in [request for request in requests if request.done()]:
            # What has failed ends the sending; it also holds its entries in memory.
            requests.remove(request)
            request.result()
        named = [(number, name, instance.header) for number, name, instance in batch]
        store = self._pool.submit(self._store, [instance for _, _, instance in batch], registrar)
        requests.add(store)
        return _Request(named, store)

    def _store(self, batch: list[OutboundInstance], registrar: _Registrar) -> list[Sent]:
        failures = self._sender.send(batch)
        registrar.add([sent.arrived for sent, failure in zip(batch, failures, strict=True) if failure is None])
        return failures


def _entry_result(name: str, header: Header, failure: Sent) -> dict[str, Any]:
    if failure:
        return _entry_failure(name, failure.reason, failure.detail, failure.code)
    uids = {"studyInstanceUID": header.study_instance_uid, "sopInstanceUID": header.sop_instance_uid}
    return {"name": name, "state": "stored", **uids}


def _entry_failure(name: str, reason: str, detail: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the result of an entry that was not stored: skipped if it never was an instance."""
    state = "skipped" if reason in NOT_AN_INSTANCE else "rejected"
    result = {"name": name, "state": state, "reason": reason, "detail": detail, "failureReason": code}
    return {key: value for key, value in result.items() if value is not None}


def _summary(job: Job, entries: Sequence[Mapping[str, Any]]) -> FileResult:
    """Sum up the results of the entries: those that are no instances count neither for nor against the ZIP."""
    states = Counter(entry["state"] for entry in entries)
    values = {
        "entries": {state: states[state] for state in ("stored", "rejected", "skipped")},
        "reasons": dict(Counter(entry["reason"] for entry in entries if "reason" in entry)),
        "instances": len({entry["sopInstanceUID"] for entry in entries if entry["state"] == "stored"}),
    }
    members: dict[str, Any] = {"values": values, "entries": entries}
    if not states["stored"]:
        worst = Counter(entry["reason"] for entry in entries if entry["state"] == "rejected").most_common(1)
        reason = worst[0][0] if worst else NO_INSTANCES
        detail = DETAILS[NO_INSTANCES] if not worst else "No instance of the ZIP was stored."
        return job.result("rejected", reason=reason, detail=detail, **members)
    if states["rejected"]:
        return job.result("partly-stored", reason=PARTLY_STORED, detail=DETAILS[PARTLY_STORED], **members)
    return job.result("stored", **members)


def _stretches(entries: Iterator[Entry]) -> Iterator[tuple[Iterator[Entry], Callable[[], bool]]]:
    """Cut the entries into stretches, always at the same places; the second value says if it was the last."""
    ahead = next(entries, None)
    if ahead is None:
        yield iter(()), lambda: True

    def stretch() -> Iterator[Entry]:
        nonlocal ahead
        count = size = 0
        while ahead is not None and (count == 0 or (count < STRETCH_ENTRIES and size + ahead.size <= STRETCH_BYTES)):
            count, size = count + 1, size + ahead.size
            yield ahead
            ahead = next(entries, None)

    while ahead is not None:
        yield stretch(), lambda: ahead is None
