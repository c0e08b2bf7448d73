"""What becomes of a stored or rejected file: the last steps, each idempotent.

In this order: the instance into the registry of exams, the report, the quarantine, the result into the Uploads table
together with its event, the end of the upload, the removal of the staged object. It makes a crash harmless: an instance
is in the PACS before the registry knows it, a bad object is in quarantine and the report is written before the file
counts as finished, and the staged object goes last.

Whether a rejection is final or tried again: `dicom_service.storing.failure_reasons`. Files of ``POST /exams``, whose
caller hears at once what became of them, do not pass here: `dicom_service.storing.store_files`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dicom_service import metrics
from dicom_service.audit.arrivals import Arrivals
from dicom_service.exams.registry import ExamRegistry
from dicom_service.outbox import Event, Outbox
from dicom_service.storing.failure_reasons import EXPIRED
from dicom_service.uploads.file_result import FileResult
from dicom_service.uploads.staged_object import StagedObject
from dicom_service.uploads.staging_bucket import StagingBucket
from dicom_service.uploads.table import FINISHED_AT_ONCE, OPEN, UPLOAD, UploadsTable, stored_instances


class Outcomes:
    """Records the results of files, and ends uploads.

    Every method raises `Unavailable` where a table, a queue or the bucket fails, and may then be called again.

    Parameters
    ----------
    table, registry, outbox, bucket
        Where progress, exams and events are recorded, and the staging bucket.
    arrivals
        Records what the PACS has; None where files only expire.
    """

    def __init__(
        self,
        table: UploadsTable,
        registry: ExamRegistry,
        outbox: Outbox,
        bucket: StagingBucket,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._table = table
        self._registry = registry
        self._arrivals = arrivals
        self._outbox = outbox
        self._bucket = bucket

    def settle(self, results: Sequence[FileResult]) -> None:
        """Do the last steps for files that were just stored or rejected, all of one upload or all dropped."""
        staged = [result.staged for result in results if result.staged]
        arrived = [result.arrived for result in results if result.arrived]
        if arrived and not self._arrivals:
            raise ValueError("nothing arrives where files only expire")
        if arrived and self._arrivals:
            self._arrivals.record(arrived, staged[0])
        for result in results:
            self._report(result)
        finished: set[tuple[str, str]] = set()
        for start in range(0, len(results), FINISHED_AT_ONCE):
            finished.update(self._table.finish(results[start : start + FINISHED_AT_ONCE], self._events))
        stored = sum(result.state == "stored" for result in results if result.key in finished)
        metrics.count("FilesStored", stored)
        metrics.count("FilesRejected", len(finished) - stored)
        if staged and staged[0].session:
            self.close(staged[0].session, brought={study for result in results for study in result.studies})
        self._remove(results)

    def repeat(self, staged: StagedObject, item: Mapping[str, Any]) -> None:
        """Repeat the steps that follow the end of a file, for an object that is delivered once more.

        Parameters
        ----------
        staged
            The object: the one that was ingested, or a later copy under the same key, which counts for nothing.
        item
            The file's row in the Uploads table.
        """
        if item.get("reason") == EXPIRED:
            # It came after all, but its upload was reported as expired: nothing is stored behind the caller's back.
            self._bucket.quarantine(staged, staged.version_id, EXPIRED, item["detail"])
        if staged.session:
            self.close(staged.session)
        removed = self._bucket.remove([(staged, staged.version_id)])
        if removed and removed != [item.get("versionId")]:
            # The form was used again: the copy changes nothing.
            self._table.count(staged.tracked, "copies")

    def discard(self, result: FileResult) -> None:
        """Move an object that no upload announced to quarantine."""
        self._report(result)
        self._remove([result])

    def close(self, upload_id: str, *, brought: Collection[str] = (), overdue: bool = False) -> None:
        """End an upload whose files are all finished, and have its exams announced; an open one stays open.

        Parameters
        ----------
        upload_id
            The upload.
        brought
            Studies that have just come with it: should it have ended before, they are announced on their own.
        overdue
            End it although files are on their way: their exams are announced when they come.
        """
        upload = self._table.get(upload_id, UPLOAD)
        if upload is None:
            return
        if upload["state"] != OPEN:
            self._registry.complete_session(upload_id, brought)
            return
        unfinished = upload.get("done", 0) < upload["files"]
        if unfinished and not overdue:
            return
        items = list(self._table.items(upload_id))
        self._registry.complete_session(upload_id, {study for study, _ in stored_instances(items)})
        expired = unfinished or any(item.get("reason") == EXPIRED for item in items)
        self._table.end(upload_id, "expired" if expired else "completed")

    def _report(self, result: FileResult) -> None:
        if not result.staged:
            return
        if result.staged.source == "drop" or result.entries is not None:
            entries = {"results": list(result.entries)} if result.entries is not None else {}
            recorded = {key: value for key, value in result.recorded.items() if value is not None}
            self._bucket.report(result.staged, {**recorded, **entries})
        if result.state != "stored":
            self._bucket.quarantine(result.staged, result.version_id, result.reason or "", result.detail or "")

    def _remove(self, results: Sequence[FileResult]) -> None:
        self._bucket.remove((result.staged, result.version_id) for result in results if result.staged)

    def _events(self, result: FileResult) -> list[Mapping[str, Any]]:
        if result.state == "stored" or not result.staged:
            return []
        # Ids and codes only: a dropped object's name may name a patient, so its hash stands for it.
        detail = {
            "version": "1.0",
            "source": result.staged.source,
            "uploadId": result.staged.session,
            "file": result.key[1] if result.staged.session else result.key[0],
            "state": result.state,
            "reason": result.reason,
            "failureReason": result.values.get("failureReason"),
            "reasons": result.values.get("reasons"),
        }
        published = {name: value for name, value in detail.items() if value is not None}
        return [self._outbox.entry(Event("Exam Rejected", published))]
