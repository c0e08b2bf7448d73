"""The last steps of a staged file, each harmless when repeated: register, report, note, announce, clear away.

The order is what makes a crash harmless: the instance is in the PACS before the register knows it, a bad object is in
quarantine and the report is written before the file counts as finished, and the staged object goes last.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from dicom_service.exams.registry import ExamRegistry
from dicom_service.outbox import Event, Outbox
from dicom_service.uploads.failures import EXPIRED
from dicom_service.uploads.file_result import Outcome
from dicom_service.uploads.s3_events import StagedObject
from dicom_service.uploads.staging_bucket import StagingBucket
from dicom_service.uploads.table import FINISHED_AT_ONCE, UPLOAD, Finished, UploadsTable
from dicom_service.uploads.upload_service import stored_instances


@dataclass(frozen=True)
class Ended:
    """A staged file that has come to its end.

    Parameters
    ----------
    staged
        The object.
    version_id
        The version that was read.
    outcome
        What became of it.
    """

    staged: StagedObject
    version_id: str | None
    outcome: Outcome


class Finalizer:
    """Brings files to their end.

    Parameters
    ----------
    table, registry, outbox, bucket
        Where progress, exams and events are noted, and the bucket.
    """

    def __init__(self, table: UploadsTable, registry: ExamRegistry, outbox: Outbox, bucket: StagingBucket) -> None:
        self._table = table
        self._registry = registry
        self._outbox = outbox
        self._bucket = bucket

    def finalize(self, ended: Sequence[Ended]) -> None:
        """Do the last steps for files that were just stored or refused, all of one upload or dropped.

        Raises
        ------
        Unavailable
            A table, queue or the bucket refuses; repeat the whole file.
        """
        if not ended:
            return
        first = ended[0].staged
        arrived = [entry.outcome.arrived for entry in ended if entry.outcome.arrived]
        if arrived:
            self._registry.record(arrived, source=_source(first), session=first.session)
        for entry in ended:
            self._file_away(entry)
        for start in range(0, len(ended), FINISHED_AT_ONCE):
            self._table.finish([self._finished(entry) for entry in ended[start : start + FINISHED_AT_ONCE]])
        if first.session:
            self.close(first.session, brought={study for entry in ended for study in _studies(entry.outcome)})
        self._bucket.remove((entry.staged, entry.version_id) for entry in ended)

    def repeat(self, staged: StagedObject, item: dict[str, Any]) -> None:
        """Do again what follows the end of a file, for an object that is delivered once more.

        Parameters
        ----------
        staged
            The object: the one that was ingested, or a later copy under the same key, which counts for nothing.
        item
            What the Uploads table holds of the file.

        Raises
        ------
        Unavailable
            A table or the bucket refuses.
        """
        if item.get("reason") == EXPIRED:
            # It came after all, but its upload was told as expired: nothing is stored behind the caller's back.
            self._bucket.quarantine(staged, staged.version_id, EXPIRED, item["detail"])
        if staged.session:
            self.close(staged.session)
        removed = self._bucket.remove([(staged, staged.version_id)])
        if removed and removed != [item.get("versionId")]:
            # The form was used again: the copy changes nothing.
            self._table.count(staged.tracked, "copies")

    def unknown(self, ended: Ended) -> None:
        """Put an object that no upload announced into quarantine.

        Raises
        ------
        Unavailable
            The bucket refuses.
        """
        self._file_away(ended)
        self._bucket.remove([(ended.staged, ended.version_id)])

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

        Raises
        ------
        Unavailable
            A table or queue refuses; repeating the call is harmless.
        """
        upload = self._table.get(upload_id, UPLOAD)
        if upload is None:
            return
        if upload["state"] != "open":
            self._registry.complete_session(upload_id, brought)
            return
        unfinished = upload.get("done", 0) < upload["files"]
        if unfinished and not overdue:
            return
        items = list(self._table.items(upload_id))
        self._registry.complete_session(upload_id, {study for study, _ in stored_instances(items)})
        expired = unfinished or any(item.get("reason") == EXPIRED for item in items)
        self._table.end(upload_id, "expired" if expired else "completed")

    def _file_away(self, entry: Ended) -> None:
        outcome = entry.outcome
        if entry.staged.source == "drop" or outcome.entries is not None:
            entries = {"results": list(outcome.entries)} if outcome.entries is not None else {}
            noted = {key: value for key, value in outcome.noted.items() if value is not None}
            self._bucket.report(entry.staged, {**noted, **entries})
        if outcome.state != "stored":
            self._bucket.quarantine(entry.staged, entry.version_id, outcome.reason or "", outcome.detail or "")

    def _finished(self, entry: Ended) -> Finished:
        key, outcome = entry.staged.tracked, entry.outcome
        values = {**outcome.noted, "etag": entry.staged.etag, "versionId": entry.version_id}
        if outcome.state == "stored":
            return Finished(key, values)
        # Ids and codes only: a dropped object's name may name a patient, so its hash stands for it.
        detail = {
            "version": "1.0",
            "source": entry.staged.source,
            "uploadId": entry.staged.session,
            "file": key[1] if entry.staged.session else key[0],
            "state": outcome.state,
            "reason": outcome.reason,
            "failureReason": outcome.values.get("failureReason"),
            "reasons": outcome.values.get("reasons"),
        }
        told = {name: value for name, value in detail.items() if value is not None}
        return Finished(key, values, [self._outbox.entry(Event("Exam Rejected", told))])


def _studies(outcome: Outcome) -> set[str]:
    entries = [entry["studyInstanceUID"] for entry in outcome.entries or () if entry["state"] == "stored"]
    return {*entries, *([outcome.arrived.study_instance_uid] if outcome.arrived else [])}


def _source(staged: StagedObject) -> Any:
    return staged.source
