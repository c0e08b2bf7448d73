"""Stores staged objects in the PACS: a batch of queue messages in, the messages that must be retried out."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicom_service.audit.arrivals import Arrivals
from dicom_service.aws.sqs_worker import Message
from dicom_service.element_walk import NotDicom, ObjectMissing
from dicom_service.ingest.ingest_queue import IngestQueue
from dicom_service.ingest.jobs import MOST_DEATHS, Group, Job, finish, has_failed
from dicom_service.ingest.result_recorder import ResultRecorder
from dicom_service.ingest.s3source import S3Source
from dicom_service.ingest.sender import Sender
from dicom_service.ingest.settings import IngestSettings
from dicom_service.ingest.zip_ingest import Postponed, RetryLater, ZipIngest
from dicom_service.ingest.zip_reader import ZipRejected, looks_like_zip
from dicom_service.log import describe, get_logger
from dicom_service.part10 import BytesSource
from dicom_service.storing.failure_reasons import CHECKSUM_MISMATCH, INTERNAL_ERROR, OBJECT_MISSING, UNKNOWN_UPLOAD
from dicom_service.storing.outbound_instance import OutboundInstance, open_instance
from dicom_service.uploads.file_result import FileResult
from dicom_service.uploads.staged_object import NotAnEvent, StagedObject, parse_event
from dicom_service.uploads.stored_or_rejected import Outcomes
from dicom_service.uploads.table import UploadsTable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = get_logger()

# The next stretch of a ZIP is started only if at least this many seconds remain.
ZIP_MARGIN = 240
# A file is given up after this many unexpected errors.
MOST_ERRORS = 5
_READERS = 8


@dataclass(frozen=True)
class Ingest:
    """Takes batches of messages and stores their objects in the PACS.

    Parameters
    ----------
    settings
        Sizes and limits.
    client
        The S3 client.
    table, arrivals, outcomes, queue
        Where progress and exams are recorded, the last steps, and the queue of the messages.
    zip_queue
        Where ZIPs are handed over, each by one message; None where they are unpacked.
    make_sender
        Makes a sender for one invocation, which remembers whether the PACS is down.
    clock
        Monotonic seconds.
    """

    settings: IngestSettings
    client: "S3Client"
    table: UploadsTable
    arrivals: Arrivals
    outcomes: Outcomes
    queue: IngestQueue
    zip_queue: IngestQueue | None
    make_sender: Callable[[], Sender]
    clock: Callable[[], float] = time.monotonic

    def handle(self, messages: Sequence[Message], seconds_left: float) -> list[Message]:
        """Ingest the objects that messages name.

        Parameters
        ----------
        messages
            One batch of the queue.
        seconds_left
            Time until the invocation is cut off.

        Returns
        -------
        list
            The messages that must be delivered again.
        """
        ends_at = self.clock() + seconds_left
        jobs, unreadable = self._read(messages)
        with (
            self.queue.lease(messages),
            ThreadPoolExecutor(_READERS) as readers,
            ThreadPoolExecutor(self.settings.connections) as senders,
            ThreadPoolExecutor(1) as thread,
        ):
            recorder = ResultRecorder(self.table, self.outcomes, thread)
            _Batch(self, self.make_sender(), _Pools(readers, senders, thread), recorder, ends_at).run(jobs)
        failed = {message: job.retry_after for job in jobs if job.failed for message in job.messages}
        self.queue.delay(failed)
        return [*failed, *unreadable]

    def _read(self, messages: Sequence[Message]) -> tuple[list[Job], list[Message]]:
        jobs: dict[StagedObject, Job] = {}
        unreadable = []
        for message in messages:
            try:
                staged = parse_event(message.body)
            except NotAnEvent as error:
                # Nothing can be done with it here: after its last attempt it is in the dead-letter queue.
                logger.error("message is not an event", extra=describe(error))
                unreadable.append(message)
                continue
            if staged.ignored:
                continue
            jobs.setdefault(staged, Job(staged, [], S3Source(self.client, staged))).messages.append(message)
        return list(jobs.values()), unreadable


@dataclass(frozen=True)
class _Pools:
    """Threads that read from S3, that send to the PACS, and the one that records results."""

    readers: Executor
    senders: Executor
    recorder: Executor


@dataclass(frozen=True)
class _Batch:
    """One invocation: its sender, threads and time, and the steps of each file, read → store → record."""

    ingest: Ingest
    sender: Sender
    pools: _Pools
    recorder: ResultRecorder
    ends_at: float

    def run(self, jobs: Sequence[Job]) -> None:
        """Process the batch: least-tried files first, single files before ZIPs."""
        todo: list[Job] = []
        finish({self.pools.readers.submit(self._select, jobs, todo): jobs})
        if len(jobs) > 1 and all(job.failed for job in jobs):
            # One key may make the whole lookup fail: look each up separately.
            for job in jobs:
                job.failed = False
            finish({self.pools.readers.submit(self._select, [job], todo): [job] for job in jobs})
        todo.sort(key=lambda job: job.attempts)
        self._store([job for job in todo if not job.suspected])
        # Files that have killed the fewest workers go first.
        for job in sorted((job for job in todo if job.suspected), key=lambda job: job.deaths):
            self._store_suspect(job)
        finish({self.pools.recorder.submit(self._count_error, job): [job] for job in jobs if job.unexpected})

    def _select(self, jobs: Sequence[Job], todo: list[Job]) -> None:
        """Collect the jobs that are still to be done; those finished before only repeat their last steps."""
        known = self.ingest.table.find(job.staged.tracked for job in jobs)
        outcomes, submit = self.ingest.outcomes, self.pools.senders.submit
        steps: dict[Future[None], list[Job]] = {}
        for job in jobs:
            item = known.get(job.staged.tracked)
            if item is not None and "finishedAt" in item:
                steps[submit(outcomes.repeat, job.staged, item)] = [job]
            elif item is None and job.staged.source == "upload":
                steps[submit(outcomes.discard, job.rejected(UNKNOWN_UPLOAD))] = [job]
            else:
                job.load(item or {})
                todo.append(job)
        finish(steps)

    def _store(self, jobs: Sequence[Job]) -> None:
        """Store files and have their results recorded, then one ZIP after the other."""
        zips = self._store_files(jobs)
        self.recorder.finish()
        for job in zips:
            finish({self.pools.readers.submit(self._store_zip, job): [job]})
            self.recorder.finish()

    def _store_suspect(self, job: Job) -> None:
        """Process alone a file whose worker was killed; give it up after MOST_DEATHS.

        The attempt is counted before it starts and uncounted when it ends, however it ends.
        """
        table, submit = self.ingest.table, self.pools.recorder.submit
        if job.deaths >= MOST_DEATHS:
            self.recorder.add([(job, job.rejected(INTERNAL_ERROR))])
            self.recorder.finish()
        elif not self._in_time():
            # It would be cut off for no fault of its own.
            job.failed = True
        else:
            finish({submit(table.count, job.staged.tracked, "deaths"): [job]})
            if not job.failed:
                self._store([job])
                # Of a file that was sent anew, no attempt is counted.
                last_try = job.attempts if job.failed else 0
                finish({submit(table.record_attempt, job.staged.tracked, last_try): [job]})

    def _in_time(self) -> bool:
        return self.ends_at - self.ingest.clock() > ZIP_MARGIN

    def _count_error(self, job: Job) -> None:
        """Count an unexpected error; after some of them the file is reported as such and holds up nobody."""
        job.unexpected = False
        self.ingest.table.count(job.staged.tracked, "errors")
        if job.errors + 1 >= MOST_ERRORS:
            self.ingest.outcomes.settle([job.rejected(INTERNAL_ERROR)])
            job.failed = False

    def _store_files(self, jobs: Sequence[Job]) -> list[Job]:
        """Store the single files and return the ZIPs among them that are to be unpacked here."""
        opening = {self.pools.readers.submit(self._open, job): job for job in jobs}
        groups: dict[tuple[str | None, str], Group] = {}
        sending: dict[Future[None], list[Job]] = {}
        zips = []
        for future in as_completed(opening):
            job = opening[future]
            if has_failed(future, [job]):
                continue
            opened = future.result()
            if isinstance(opened, FileResult):
                sending[self.pools.senders.submit(self.recorder.add, [(job, opened)])] = [job]
            elif opened is None and self.ingest.zip_queue:
                sending[self.pools.senders.submit(self._hand_over, job, self.ingest.zip_queue)] = [job]
            elif opened is None:
                zips.append(job)
            else:
                ready = self._add(groups, job, opened)
                sending |= {self.pools.senders.submit(self._send, group): group.jobs for group in ready}
        sending |= {self.pools.senders.submit(self._send, group): group.jobs for group in groups.values() if group.jobs}
        finish(sending)
        return zips

    def _open(self, job: Job) -> OutboundInstance | FileResult | None:
        """Check a file and make it ready to be sent; None for a ZIP, which is read on."""
        with ExitStack() as after:
            after.callback(job.source.forget)
            opened = self._checked(job)
            if opened is None:
                after.pop_all()
        return opened

    def _checked(self, job: Job) -> OutboundInstance | FileResult | None:
        limits = self.ingest.settings
        try:
            if self.ingest.zip_queue is None and not job.sha256:
                # What was handed over is a ZIP: the body that brings its beginning goes on to its end.
                job.source.expect_all()
            is_zip = looks_like_zip(job.source)
            if is_zip and self.ingest.zip_queue:
                # Its digest is computed where it is unpacked: here, nothing but its first block is read.
                return None
            if job.sha256 and job.source.sha256() != job.sha256:
                return job.rejected(CHECKSUM_MISMATCH)
            if is_zip:
                return None
            # What was read completely is sent from memory.
            whole = job.source.whole()
            source = job.source if whole is None else BytesSource(whole)
            return open_instance(source, max_inflated=limits.max_inflated, max_depth=limits.max_depth)
        except NotDicom as error:
            return job.rejected(error.reason, error.detail)
        except ObjectMissing:
            return job.rejected(OBJECT_MISSING)

    def _add(self, groups: dict[tuple[str | None, str], Group], job: Job, instance: OutboundInstance) -> list[Group]:
        """Put a file into its group and return the groups that are full."""
        if job.alone:
            return [Group([job], [instance])]
        key = (job.staged.session, instance.header.study_instance_uid)
        group = groups.setdefault(key, Group())
        ready = []
        too_large = group.size + instance.size > self.ingest.settings.batch_bytes
        if group.jobs and (too_large or group.holds(instance.header.sop_instance_uid)):
            ready.append(groups.pop(key))
            group = groups.setdefault(key, Group())
        group.jobs.append(job)
        group.instances.append(instance)
        if len(group.jobs) >= self.ingest.settings.batch_parts:
            ready.append(groups.pop(key))
        return ready

    def _send(self, group: Group) -> None:
        failures = self.sender.send(group.instances)
        results = []
        for job, instance, failure in zip(group.jobs, group.instances, failures, strict=True):
            if failure and not failure.permanent(job.refusals):
                self.recorder.postpone(job, failure)
            else:
                results.append((job, job.sent(instance.header, failure)))
        group.instances.clear()
        self.recorder.add(results)

    def _hand_over(self, job: Job, queue: IngestQueue) -> None:
        """Send the work on a file anew; until the queue has the message, the one that brought it comes again.

        Killed in between, both messages exist: two invocations bring the same object, as S3's events allow anyway.
        """
        job.source.forget()
        if job.staged.session:
            self.ingest.table.received(job.staged.tracked)
        if job.last_try:
            # The attempts of the new message are counted from the start.
            self.ingest.table.record_attempt(job.staged.tracked, 0)
        job.failed = not queue.requeue(job.messages[0])

    def _store_zip(self, job: Job) -> None:
        ingest = self.ingest
        zips = ZipIngest(ingest.settings, ingest.table, ingest.arrivals, self.sender, self.pools.senders)
        try:
            result = zips.store(job, self._in_time)
        except ZipRejected as error:
            result = job.rejected(error.reason, error.detail)
        except ObjectMissing:
            result = job.rejected(OBJECT_MISSING)
        except RetryLater as error:
            self.recorder.postpone(job, error.failure)
            return
        except Postponed:
            # As a new message, so that a long ZIP does not use up its receives.
            self._hand_over(job, ingest.queue)
            return
        finally:
            job.source.forget()
        self.recorder.add([(job, result)])
