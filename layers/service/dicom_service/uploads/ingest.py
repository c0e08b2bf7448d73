"""Staged objects to the PACS: a batch of queue messages in, the messages to be tried again out."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from dicom_service import attempts
from dicom_service.aws.sqs_worker import Message
from dicom_service.element_walk import NotDicom
from dicom_service.errors import ServiceError, Unavailable
from dicom_service.exams.registry import Arrived
from dicom_service.log import describe, get_logger
from dicom_service.part10 import read_header
from dicom_service.uploads.failures import CHECKSUM_MISMATCH, INTERNAL_ERROR, OBJECT_MISSING, UNKNOWN_UPLOAD
from dicom_service.uploads.file_result import Outcome, judged, not_dicom, rejected
from dicom_service.uploads.finalize import Finalizer
from dicom_service.uploads.ingest_queue import IngestQueue
from dicom_service.uploads.instance import OutboundInstance, prepare
from dicom_service.uploads.jobs import MOST_DEATHS, Group, Job
from dicom_service.uploads.s3_events import NotAnEvent, StagedObject, parse_event
from dicom_service.uploads.s3source import ObjectMissing, S3Source, StorageError
from dicom_service.uploads.sender import Sender
from dicom_service.uploads.settings import IngestSettings
from dicom_service.uploads.table import UploadsTable
from dicom_service.uploads.zip_ingest import Postponed, Register, RetryLater, ZipIngest
from dicom_service.uploads.zip_reader import ZipRejected, looks_like_zip

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = get_logger()

# A ZIP's stretch must be finished within this many seconds, or the next invocation begins it.
ZIP_MARGIN = 240
# A file that has met so many errors that nobody foresaw is given up.
MOST_ERRORS = 5
_READERS = 8


class Ingest:
    """Takes batches of messages and brings their objects to the PACS.

    Parameters
    ----------
    settings
        Sizes and limits.
    client
        The S3 client.
    table, register, finalizer, queue
        Where progress and exams are noted, the last steps, and the queue of the messages.
    make_sender
        Gives a sender for one invocation, which remembers whether the PACS is down.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        settings: IngestSettings,
        *,
        client: "S3Client",
        table: UploadsTable,
        register: Register,
        finalizer: Finalizer,
        queue: IngestQueue,
        make_sender: Callable[[], Sender],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client = client
        self._table = table
        self._register = register
        self._finalizer = finalizer
        self._queue = queue
        self._make_sender = make_sender
        self._clock = clock

    def handle(self, messages: Sequence[Message], seconds_left: float) -> list[Message]:
        """Ingest what the messages name.

        Parameters
        ----------
        messages
            One batch of the queue.
        seconds_left
            Time until the invocation is cut off.

        Returns
        -------
        list
            The messages that are to be delivered again.
        """
        jobs, unreadable = self._read(messages)
        with (
            self._queue.lease(messages),
            ThreadPoolExecutor(_READERS) as readers,
            ThreadPoolExecutor(self._settings.connections) as senders,
            ThreadPoolExecutor(1) as settler,
        ):
            _Run(self, jobs, self._make_sender(), _Pools(readers, senders, settler), self._clock() + seconds_left).go()
        failed = {message: job.retry_after for job in jobs if job.failed for message in job.messages}
        self._queue.delay(failed)
        return [*failed, *unreadable]

    def _read(self, messages: Sequence[Message]) -> tuple[list[Job], list[Message]]:
        jobs: dict[StagedObject, Job] = {}
        unreadable = []
        for message in messages:
            try:
                staged = parse_event(message.body)
            except NotAnEvent as error:
                # Nothing can be done with it here: after its last try it is in the dead-letter queue.
                logger.error("message is not an event", extra=describe(error))
                unreadable.append(message)
                continue
            if staged.ignored:
                continue
            jobs.setdefault(staged, Job(staged, [], S3Source(self._client, staged))).messages.append(message)
        return list(jobs.values()), unreadable


@dataclass(frozen=True)
class _Pools:
    """Threads that read from S3, that send to the PACS, and the one that notes what became of files."""

    readers: ThreadPoolExecutor
    senders: ThreadPoolExecutor
    settler: ThreadPoolExecutor


class _Run:
    """One batch on its way."""

    def __init__(
        self,
        ingest: Ingest,
        jobs: list[Job],
        sender: Sender,
        pools: _Pools,
        ends_at: float,
    ) -> None:
        self._ingest = ingest
        self._settings = ingest._settings
        self._table = ingest._table
        self._finalizer = ingest._finalizer
        self._jobs = jobs
        self._sender = sender
        self._readers = pools.readers
        self._senders = pools.senders
        self._settler = pools.settler
        self._ends_at = ends_at
        self._to_settle: SimpleQueue[tuple[Job, Outcome]] = SimpleQueue()
        self._settling: dict[Future[None], list[Job]] = {}

    def go(self) -> None:
        """Work through the batch: new before often tried, small before ZIPs."""
        todo: list[Job] = []
        self._finish({self._readers.submit(self._sort_out, self._jobs, todo): self._jobs})
        if len(self._jobs) > 1 and all(job.failed for job in self._jobs):
            # One of them may be what the table does not take: each for itself.
            for job in self._jobs:
                job.failed = False
            self._finish({self._readers.submit(self._sort_out, [job], todo): [job] for job in self._jobs})
        todo.sort(key=lambda job: job.attempts)
        self._store([job for job in todo if not job.suspected])
        # Those that have killed the fewest go first.
        for job in sorted((job for job in todo if job.suspected), key=lambda job: job.deaths):
            self._store_suspect(job)
        self._finish({self._settler.submit(self._give_up, job): [job] for job in self._jobs if job.unforeseen})

    def _store(self, jobs: Sequence[Job]) -> None:
        """Bring files to the PACS and have noted what became of them, then one ZIP after the other."""
        zips = self._store_files(jobs)
        self._finish(self._settling)
        for job in zips:
            self._settling.clear()
            self._finish({self._readers.submit(self._store_zip, job): [job]})
            self._finish(self._settling)
        self._settling.clear()

    def _store_suspect(self, job: Job) -> None:
        """Work on a file with nothing beside it, since its worker was killed before; after some times give it up.

        That it is begun is counted before, and taken back when it comes to an end of whatever kind.
        """
        if job.deaths >= MOST_DEATHS:
            self._settle([job], [rejected(INTERNAL_ERROR)])
            self._finish(self._settling)
            self._settling.clear()
        elif self._ends_at - self._ingest._clock() <= ZIP_MARGIN:
            # It would be cut off for no fault of its own.
            job.failed = True
        else:
            self._finish({self._settler.submit(self._table.count, job.staged.tracked, "deaths"): [job]})
            if not job.failed:
                self._store([job])
                self._finish({self._settler.submit(self._put_off, job): [job]})

    def _put_off(self, job: Job) -> None:
        self._table.put_off(job.staged.tracked, job.attempts)

    def _finish(self, running: dict[Future[None], list[Job]]) -> None:
        """Wait for steps; where one fails, its jobs are tried again and the others go on."""
        for future, jobs in running.items():
            self._note_failure(future, jobs)

    def _note_failure(self, future: Future[Any], jobs: Sequence[Job]) -> bool:
        error = future.exception()
        if error is None:
            return False
        if not isinstance(error, Exception):
            raise error
        foreseen = isinstance(error, Unavailable | StorageError)
        (logger.warning if foreseen else logger.error)("ingest is put off", extra=describe(error))
        for job in jobs:
            job.failed = True
            # Where several share a step, none of them is known to be the cause: they come again, each alone.
            job.unforeseen = not foreseen and len(jobs) == 1
        return True

    def _give_up(self, job: Job) -> None:
        """Count an error that nobody foresaw; after some of them the file is told as such and holds up nobody."""
        job.unforeseen = False
        self._table.count(job.staged.tracked, "errors")
        if job.errors + 1 >= MOST_ERRORS:
            self._finalizer.finalize([job.ended(rejected(INTERNAL_ERROR))])
            job.failed = False

    def _sort_out(self, jobs: Sequence[Job], todo: list[Job]) -> None:
        """Collect the jobs that are still to be done; those finished before only repeat their last steps."""
        known = self._table.find(job.staged.tracked for job in jobs)
        steps: dict[Future[None], list[Job]] = {}
        for job in jobs:
            item = known.get(job.staged.tracked)
            if item is not None and "finishedAt" in item:
                steps[self._senders.submit(self._finalizer.repeat, job.staged, item)] = [job]
            elif item is None and job.staged.source == "upload":
                steps[self._senders.submit(self._finalizer.unknown, job.ended(rejected(UNKNOWN_UPLOAD)))] = [job]
            else:
                known_of_it = item or {}
                job.sha256, job.refusals = known_of_it.get("sha256"), known_of_it.get("refusals", 0)
                job.errors, job.deaths = known_of_it.get("errors", 0), known_of_it.get("deaths", 0)
                job.last_try = known_of_it.get("lastTry", 0)
                todo.append(job)
        self._finish(steps)

    def _store_files(self, jobs: Sequence[Job]) -> list[Job]:
        """Store the single files; give the ZIPs that were among them."""
        loading = {self._readers.submit(self._load, job): job for job in jobs}
        groups: dict[tuple[str | None, str], Group] = {}
        sending: dict[Future[None], list[Job]] = {}
        zips = []
        for future in as_completed(loading):
            job = loading[future]
            if self._note_failure(future, [job]):
                continue
            loaded = future.result()
            if isinstance(loaded, Outcome):
                sending[self._senders.submit(self._settle, [job], [loaded])] = [job]
            elif loaded is None:
                zips.append(job)
            else:
                ready = self._add(groups, job, loaded)
                sending |= {self._senders.submit(self._send, group): group.jobs for group in ready}
        sending |= {self._senders.submit(self._send, group): group.jobs for group in groups.values() if group.jobs}
        self._finish(sending)
        return zips

    def _load(self, job: Job) -> OutboundInstance | Outcome | None:
        """Read a file's header and make it ready; None for a ZIP."""
        try:
            if job.sha256 and job.source.sha256() != job.sha256:
                return rejected(CHECKSUM_MISMATCH)
            if looks_like_zip(job.source):
                return None
            limits = self._settings
            header = read_header(job.source, max_inflated=limits.max_inflated, max_depth=limits.max_depth)
            whole = job.source.whole()
            job.source.forget()
            stream = job.source.stream if whole is None else lambda: iter((whole,))
            return prepare(header, job.staged.size, stream, max_inflated=self._settings.max_inflated)
        except NotDicom as error:
            return not_dicom(error)
        except ObjectMissing:
            return rejected(OBJECT_MISSING)

    def _add(self, groups: dict[tuple[str | None, str], Group], job: Job, instance: OutboundInstance) -> list[Group]:
        """Put a file into its group and give the groups that are full."""
        if job.alone:
            return [Group([job], [instance])]
        key = (job.staged.session, instance.header.study_instance_uid)
        group = groups.setdefault(key, Group())
        ready = []
        same = any(other.header.sop_instance_uid == instance.header.sop_instance_uid for other in group.instances)
        if group.jobs and (same or group.size + instance.size > self._settings.batch_bytes):
            ready.append(groups.pop(key))
            group = groups.setdefault(key, Group())
        group.jobs.append(job)
        group.instances.append(instance)
        if len(group.jobs) >= self._settings.batch_parts:
            ready.append(groups.pop(key))
        return ready

    def _send(self, group: Group) -> None:
        verdicts = self._sender.send(group.instances)
        jobs, outcomes = [], []
        for job, instance, verdict in zip(group.jobs, group.instances, verdicts, strict=True):
            if verdict.later(job.refusals):
                self._wait(job, verdict.retry_after, refused=verdict.refusal is not None)
            else:
                jobs.append(job)
                outcomes.append(judged(instance.header, verdict))
        group.instances.clear()
        self._settle(jobs, outcomes)

    def _settle(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        """Have what became of files noted, while the connections to the PACS go on."""
        for job, outcome in zip(jobs, outcomes, strict=True):
            # Until it is noted: should that fail, the job is tried again.
            job.failed = True
            if job.alone:
                self._settling[self._settler.submit(self._settle_these, [(job, outcome)])] = [job]
            else:
                self._to_settle.put((job, outcome))
        self._settling[self._settler.submit(self._settle_all)] = [job for job in jobs if not job.alone]

    def _settle_all(self) -> None:
        """Note everything that has come together meanwhile, with few writes; no upload waits for another."""
        by_session: dict[str | None, list[tuple[Job, Outcome]]] = {}
        while not self._to_settle.empty():
            job, outcome = self._to_settle.get()
            by_session.setdefault(job.staged.session, []).append((job, outcome))
        for settled in by_session.values():
            # What is not noted comes again, each file alone.
            with suppress(ServiceError):
                attempts.attempt(partial(self._settle_these, settled))

    def _settle_these(self, settled: Sequence[tuple[Job, Outcome]]) -> None:
        self._finalizer.finalize(
            [job.ended(outcome) for job, outcome in settled if not self._ended_before(job, outcome)]
        )
        for job, _ in settled:
            job.failed = False

    def _ended_before(self, job: Job, outcome: Outcome) -> bool:
        """Whether an object is gone because another invocation has just brought it to its end."""
        item = self._table.get(*job.staged.tracked) if outcome.reason == OBJECT_MISSING else None
        if item is None or "finishedAt" not in item:
            return False
        self._finalizer.repeat(job.staged, item)
        return True

    def _wait(self, job: Job, retry_after: int | None, *, refused: bool) -> None:
        job.failed, job.retry_after = True, retry_after
        self._settling[self._settler.submit(self._note_waiting, job, refused)] = [job]

    def _note_waiting(self, job: Job, refused: bool) -> None:
        if refused:
            self._table.count(job.staged.tracked, "refusals")
        if job.staged.session:
            self._table.received(job.staged.tracked)
        self._put_off(job)

    def _store_zip(self, job: Job) -> None:
        zips = ZipIngest(self._settings, self._table, self._sender, self._senders)
        try:
            outcome = zips.run(
                job.staged.tracked,
                job.source,
                job.refusals,
                lambda arrived: self._record(job, arrived),
                lambda: self._ends_at - self._ingest._clock() > ZIP_MARGIN,
            )
        except ZipRejected as error:
            outcome = not_dicom(error)
        except ObjectMissing:
            outcome = rejected(OBJECT_MISSING)
        except RetryLater as error:
            self._wait(job, error.retry_after, refused=error.refused)
            return
        except Postponed:
            # As new work, so that a long ZIP does not use up its tries.
            job.failed = not all(self._ingest._queue.requeue(message) for message in job.messages[:1])
            return
        finally:
            job.source.forget()
        self._settle([job], [outcome])

    def _record(self, job: Job, arrived: Sequence[Arrived]) -> int:
        """Register what a stretch of a ZIP brought; that it goes on keeps its upload open."""
        session, source = job.staged.session, job.staged.source
        if session:
            self._table.received(job.staged.tracked)
        return self._ingest._register.record(arrived, source=source, session=session) if arrived else 0  # type: ignore[arg-type]
