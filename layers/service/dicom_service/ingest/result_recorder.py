"""Records the results of files in one thread, many in few writes, while the connections to the PACS go on."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

from dicom_service.errors import ServiceError
from dicom_service.ingest.jobs import Job, finish
from dicom_service.isolation import isolate
from dicom_service.storing.failure_reasons import OBJECT_MISSING, StoreFailure
from dicom_service.uploads.file_result import FileResult
from dicom_service.uploads.stored_or_rejected import Outcomes
from dicom_service.uploads.table import UploadsTable

_Results = Sequence[tuple[Job, FileResult]]


class ResultRecorder:
    """Takes results from several threads; a job that is not recorded stays failed, and comes again.

    Parameters
    ----------
    table, outcomes
        Where attempts are recorded, and the last steps of files.
    thread
        Runs one step at a time.
    """

    def __init__(self, table: UploadsTable, outcomes: Outcomes, thread: Executor) -> None:
        self._table = table
        self._outcomes = outcomes
        self._thread = thread
        self._waiting: SimpleQueue[tuple[Job, FileResult]] = SimpleQueue()
        self._steps: dict[Future[None], list[Job]] = {}

    def add(self, results: _Results) -> None:
        """Have results recorded."""
        for job, result in results:
            # Until it is recorded: should that fail, the job is tried again.
            job.failed = True
            if job.alone:
                self._steps[self._thread.submit(self._record, [(job, result)])] = [job]
            else:
                self._waiting.put((job, result))
        self._steps[self._thread.submit(self._record_waiting)] = [job for job, _ in results if not job.alone]

    def postpone(self, job: Job, failure: StoreFailure) -> None:
        """Have a job delivered again, and its attempt recorded."""
        job.failed, job.retry_after = True, failure.retry_after
        self._steps[self._thread.submit(self._record_attempt, job, failure.rejected)] = [job]

    def finish(self) -> None:
        """Wait until everything is recorded."""
        finish(self._steps)
        self._steps.clear()

    def _record_waiting(self) -> None:
        """Record everything that has come together meanwhile; no upload waits for another."""
        by_session: dict[str | None, list[tuple[Job, FileResult]]] = {}
        while not self._waiting.empty():
            job, result = self._waiting.get()
            by_session.setdefault(job.staged.session, []).append((job, result))
        for results in by_session.values():
            # What is not recorded comes again, each file alone.
            with suppress(ServiceError):
                isolate(partial(self._record, results))

    def _record(self, results: _Results) -> None:
        self._outcomes.settle([result for job, result in results if not self._ended_before(job, result)])
        for job, _ in results:
            job.failed = False

    def _ended_before(self, job: Job, result: FileResult) -> bool:
        """Return whether an object is gone because another invocation has just brought it to its end."""
        item = self._table.get(*job.staged.tracked) if result.reason == OBJECT_MISSING else None
        if item is None or "finishedAt" not in item:
            return False
        self._outcomes.repeat(job.staged, item)
        return True

    def _record_attempt(self, job: Job, rejected: bool) -> None:
        if rejected:
            self._table.count(job.staged.tracked, "refusals")
        if job.staged.session:
            self._table.received(job.staged.tracked)
        self._table.record_attempt(job.staged.tracked, job.attempts)
