"""Stores the instances of a staged ZIP, a stretch of entries at a time, and goes on where it stopped."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dicom_service.audit.arrivals import Arrivals
from dicom_service.element_walk import NotDicom
from dicom_service.exams.registry import Arrived
from dicom_service.part10 import Header
from dicom_service.uploads.file_result import FileResult
from dicom_service.uploads.instance import OutboundInstance, open_instance
from dicom_service.uploads.jobs import Job
from dicom_service.uploads.reasons import DETAILS, NO_INSTANCES, NOT_AN_INSTANCE, PARTLY_STORED, WAITING, StoreFailure
from dicom_service.uploads.s3_events import StagedObject
from dicom_service.uploads.sender import Sender, Sent
from dicom_service.uploads.settings import MIB, IngestSettings
from dicom_service.uploads.table import UploadsTable, read_entries
from dicom_service.uploads.zip_reader import SMALL_ENTRY, Entry, Limits, ZipRejected, walk

# A stretch ends after so many entries or unpacked bytes: what a crash makes to be done again.
STRETCH_ENTRIES = 500
STRETCH_BYTES = 512 * MIB
# A transaction of the registry takes so many and the study's item.
RECORDED_AT_ONCE = 99
# Requests that are on their way at once hold their entries in memory.
_REQUEST_BYTES = 8 * MIB


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

    def finish(self) -> None:
        """Register the rest and wait for all; raise what the registry raised."""
        for recorded in self._recorded:
            recorded.result()
        self._record(self._waiting)


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
        start = sum(item["entries"] for item in before)
        if not (before and before[-1]["last"]):
            for stretch, last in _stretches(walk(job.source, self._limits, first=start)):
                if not in_time():
                    raise Postponed
                results = self._send(stretch, job)
                self._table.put_entries(key, start, results, last=last())
                start += len(results)
        return _summary(job, [entry for item in self._table.entries(key) for entry in read_entries(item)])

    def _send(self, stretch: Iterator[Entry], job: Job) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(1) as thread:
            return self._send_all(stretch, job.refusals, _Registrar(partial(self._record, job.staged), thread))

    def _record(self, staged: StagedObject, arrived: Sequence[Arrived]) -> None:
        """Register instances of a ZIP; that it goes on keeps its upload open."""
        if staged.session:
            self._table.received(staged.tracked)
        if arrived:
            self._arrivals.record(arrived, staged)

    def _send_all(self, stretch: Iterator[Entry], refusals: int, registrar: _Registrar) -> list[dict[str, Any]]:
        results: dict[int, dict[str, Any]] = {}
        sent: list[_Request] = []
        batch: list[tuple[int, str, OutboundInstance]] = []
        size = 0
        uids: set[str] = set()
        for entry in stretch:
            try:
                instance = self._open(entry)
            except (NotDicom, ZipRejected) as error:
                results[entry.number] = _entry_failure(entry.name, error.reason, error.detail)
                continue
            uid = instance.header.sop_instance_uid
            full = len(batch) >= self._settings.batch_parts or size + instance.size > _REQUEST_BYTES
            if batch and (full or uid in uids):
                self._submit(batch, sent, registrar)
                batch, size, uids = [], 0, set()
            batch.append((entry.number, entry.name, instance))
            size += instance.size
            uids.add(uid)
            if max(instance.size, entry.size) > min(_REQUEST_BYTES, SMALL_ENTRY):
                # Too large to be held in memory: it lies in a file, which goes with the next entry.
                self._submit(batch, sent, registrar)
                sent[-1].failures.result()
                batch, size, uids = [], 0, set()
        if batch:
            self._submit(batch, sent, registrar)
        self._collect(sent, refusals, results, registrar)
        return [results[number] for number in sorted(results)]

    def _open(self, entry: Entry) -> OutboundInstance:
        if entry.error:
            raise entry.error
        limits = self._settings
        return open_instance(entry.source(), max_inflated=limits.max_inflated, max_depth=limits.max_depth)

    def _submit(
        self, batch: list[tuple[int, str, OutboundInstance]], sent: list[_Request], registrar: _Registrar
    ) -> None:
        in_flight = [entry for entry in sent if not entry.failures.done()]
        if len(in_flight) >= self._settings.connections:
            in_flight[0].failures.result()
        named = [(number, name, instance.header) for number, name, instance in batch]
        sent.append(_Request(named, self._pool.submit(self._store, [instance for _, _, instance in batch], registrar)))

    def _store(self, batch: list[OutboundInstance], registrar: _Registrar) -> list[Sent]:
        failures = self._sender.send(batch)
        registrar.add([sent.arrived for sent, failure in zip(batch, failures, strict=True) if failure is None])
        return failures

    def _collect(
        self, sent: Sequence[_Request], refusals: int, results: dict[int, dict[str, Any]], registrar: _Registrar
    ) -> None:
        retried: list[StoreFailure] = []
        for request in sent:
            for (number, name, header), failure in zip(request.entries, request.failures.result(), strict=True):
                if failure and not failure.permanent(refusals):
                    retried.append(failure)
                results[number] = _entry_result(name, header, failure)
        registrar.finish()
        if retried:
            retry_after = max(failure.retry_after or 0 for failure in retried) or None
            rejected = any(failure.rejected for failure in retried)
            raise RetryLater(replace(WAITING, retry_after=retry_after, rejected=rejected))


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
