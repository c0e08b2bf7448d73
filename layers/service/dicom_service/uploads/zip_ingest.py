"""Brings the instances of a staged ZIP to the PACS, a stretch of entries at a time, and remembers how far it came."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from dicom_service.element_walk import NotDicom, Source
from dicom_service.exams.registry import Arrived
from dicom_service.part10 import BytesSource, Header, read_header
from dicom_service.uploads.file_result import Outcome, arrived, entry_failure, entry_result, of_archive
from dicom_service.uploads.instance import OutboundInstance, prepare
from dicom_service.uploads.sender import Sender, Verdict
from dicom_service.uploads.settings import MIB, IngestSettings
from dicom_service.uploads.table import Key, UploadsTable, read_entries
from dicom_service.uploads.zip_reader import SMALL_ENTRY, Entry, Limits, ZipRejected, walk

# A stretch ends after so many entries or unpacked bytes: what a crash makes to be done again.
STRETCH_ENTRIES = 500
STRETCH_BYTES = 512 * MIB
# A transaction of the register takes so many and the study's item.
RECORDED_AT_ONCE = 99
# Requests that are on their way at once hold their entries in memory.
_REQUEST_BYTES = 8 * MIB


class Postponed(Exception):
    """Time is nearly over; the rest is for the next invocation."""


class RetryLater(Exception):
    """The PACS does not take it now.

    Parameters
    ----------
    retry_after
        Seconds that it asked for, where it did.
    refused
        It answered and said no, as far as that may pass.
    """

    def __init__(self, retry_after: int | None, *, refused: bool) -> None:
        super().__init__("later")
        self.retry_after = retry_after
        self.refused = refused


class Register(Protocol):
    """What is needed of `dicom_service.exams.registry.ExamRegistry`."""

    def record(
        self, arrived: Sequence[Arrived], *, source: Literal["upload", "drop", "pacs"], session: str | None
    ) -> int:
        """Remember instances that the PACS has."""


@dataclass
class _Sent:
    """Entries on their way to the PACS; their bytes belong to the request alone and go with it."""

    entries: list[tuple[int, str, Header]]
    verdicts: Future[list[Verdict]]


class _Registrar:
    """Registers what the PACS has while the rest is being sent, by one thread: two would meet at the study's item.

    Parameters
    ----------
    record
        Registers instances.
    thread
        Where it runs.
    """

    def __init__(self, record: Callable[[Sequence[Arrived]], int], thread: Executor) -> None:
        self._record = record
        self._thread = thread
        self._lock = threading.Lock()
        self._waiting: list[Arrived] = []
        self._recorded: list[Future[int]] = []

    def add(self, stored: Sequence[Arrived]) -> None:
        """Register these together with others, as many as one transaction takes."""
        with self._lock:
            self._waiting += stored
            if len(self._waiting) >= RECORDED_AT_ONCE:
                taken, self._waiting = self._waiting[:RECORDED_AT_ONCE], self._waiting[RECORDED_AT_ONCE:]
                self._recorded.append(self._thread.submit(self._record, taken))

    def finish(self) -> None:
        """Register the rest and wait for all; raise what the register raised."""
        for recorded in self._recorded:
            recorded.result()
        self._record(self._waiting)


class ZipIngest:
    """Reads ZIPs from S3 and sends what is in them.

    Parameters
    ----------
    settings
        Limits and sizes.
    table
        Where finished stretches are noted.
    sender
        Sends instances.
    pool
        Runs the requests to the PACS.
    """

    def __init__(self, settings: IngestSettings, table: UploadsTable, sender: Sender, pool: Executor) -> None:
        self._settings = settings
        self._limits = Limits(settings.zip_entries, settings.zip_bytes, settings.zip_ratio, settings.spool_bytes)
        self._table = table
        self._sender = sender
        self._pool = pool

    def run(
        self,
        key: Key,
        source: Source,
        refusals: int,
        record: Callable[[Sequence[Arrived]], int],
        in_time: Callable[[], bool],
    ) -> Outcome:
        """Bring a ZIP to its end, going on where an earlier call stopped.

        Parameters
        ----------
        key
            Its place in the Uploads table.
        source
            Its bytes.
        refusals
            How often the PACS refused something in it that it may yet take.
        record
            Notes instances that the PACS has.
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
        before = self._table.entries(key)
        start = sum(item["entries"] for item in before)
        if not (before and before[-1]["last"]):
            for stretch, last in _stretches(walk(source, self._limits, first=start)):
                if not in_time():
                    raise Postponed
                results = self._send(stretch, refusals, record)
                self._table.put_entries(key, start, results, last=last())
                start += len(results)
        return of_archive([entry for item in self._table.entries(key) for entry in read_entries(item)])

    def _send(
        self, stretch: Iterator[Entry], refusals: int, record: Callable[[Sequence[Arrived]], int]
    ) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(1) as thread:
            return self._send_all(stretch, refusals, _Registrar(record, thread))

    def _send_all(self, stretch: Iterator[Entry], refusals: int, registrar: "_Registrar") -> list[dict[str, Any]]:
        results: dict[int, dict[str, Any]] = {}
        sent: list[_Sent] = []
        batch: list[tuple[int, str, OutboundInstance]] = []
        size = 0
        uids: set[str] = set()
        for entry in stretch:
            try:
                instance = self._prepare(entry)
            except (NotDicom, ZipRejected) as error:
                results[entry.number] = entry_failure(entry.name, error.reason, error.detail)
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
                sent[-1].verdicts.result()
                batch, size, uids = [], 0, set()
        if batch:
            self._submit(batch, sent, registrar)
        self._judge(sent, refusals, results, registrar)
        return [results[number] for number in sorted(results)]

    def _prepare(self, entry: Entry) -> OutboundInstance:
        if entry.refused:
            raise entry.refused
        source = entry.source()
        limits = self._settings
        header = read_header(source, max_inflated=limits.max_inflated, max_depth=limits.max_depth)
        if isinstance(source, BytesSource):
            content = source.read(0, source.size)
            return prepare(header, len(content), lambda: iter((content,)), max_inflated=limits.max_inflated)
        return prepare(header, entry.size, source.stream, max_inflated=limits.max_inflated)

    def _submit(
        self, batch: list[tuple[int, str, OutboundInstance]], sent: list[_Sent], registrar: "_Registrar"
    ) -> None:
        in_flight = [entry for entry in sent if not entry.verdicts.done()]
        if len(in_flight) >= self._settings.connections:
            in_flight[0].verdicts.result()
        named = [(number, name, instance.header) for number, name, instance in batch]
        sent.append(_Sent(named, self._pool.submit(self._store, [instance for _, _, instance in batch], registrar)))

    def _store(self, batch: list[OutboundInstance], registrar: "_Registrar") -> list[Verdict]:
        verdicts = self._sender.send(batch)
        registrar.add([arrived(sent.header) for sent, verdict in zip(batch, verdicts, strict=True) if verdict.stored])
        return verdicts

    def _judge(
        self,
        sent: Sequence[_Sent],
        refusals: int,
        results: dict[int, dict[str, Any]],
        registrar: "_Registrar",
    ) -> None:
        later: list[Verdict] = []
        for request in sent:
            for (number, name, header), verdict in zip(request.entries, request.verdicts.result(), strict=True):
                if verdict.later(refusals):
                    later.append(verdict)
                results[number] = entry_result(name, header, verdict)
        registrar.finish()
        if later:
            retry_after = max(verdict.retry_after or 0 for verdict in later) or None
            raise RetryLater(retry_after, refused=any(verdict.refusal for verdict in later))


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
