"""Ends uploads that clients abandoned: parts removed, files that never came expired, exams announced."""

from concurrent.futures import ThreadPoolExecutor

from dicom_service.errors import Unavailable
from dicom_service.log import describe, get_logger
from dicom_service.storing.failure_reasons import DETAILS, EXPIRED
from dicom_service.uploads.file_result import FileResult
from dicom_service.uploads.presigned_uploads import PresignedUploads
from dicom_service.uploads.settings import UploadSettings
from dicom_service.uploads.staged_object import staging_key
from dicom_service.uploads.stored_or_rejected import Outcomes
from dicom_service.uploads.table import FINISHED_AT_ONCE, UploadsTable
from dicom_service.uploads.upload_service import FILE_ID

logger = get_logger()

_AT_ONCE = 8
# A message that waits for the PACS comes back within 15 minutes, one whose worker died within 16; a stretch of a ZIP
# that is worked off for 15 minutes may end in an error before that.
_SEEN_WITHIN = 3 * 960


class Expiry:
    """Ends uploads whose time is over.

    Parameters
    ----------
    settings
        How long after its expiry an upload may still be on its way.
    table, presigned, outcomes
        Where uploads are recorded, where their files are, and their last steps.
    """

    def __init__(
        self, settings: UploadSettings, table: UploadsTable, presigned: PresignedUploads, outcomes: Outcomes
    ) -> None:
        self._settings = settings
        self._table = table
        self._presigned = presigned
        self._outcomes = outcomes

    def run(self) -> int:
        """End what has expired, and return the number of uploads that were looked at."""
        upload_ids = self._table.expired(self._table.now() - self._settings.grace)
        for upload_id in upload_ids:
            try:
                self._expire(upload_id)
            except Unavailable as error:
                logger.warning("upload is left to the next run", extra=describe(error))
        return len(upload_ids)

    def _expire(self, upload_id: str) -> None:
        files = [item for item in self._table.items(upload_id) if FILE_ID.fullmatch(item["file"])]
        waiting = [file for file in files if "finishedAt" not in file]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # A file that is in the bucket has come in time: it goes on, and what is lost is only what is not there.
            came = list(pool.map(self._presigned.has, (staging_key(upload_id, file["file"]) for file in waiting)))
        lost = [file for file, has_come in zip(waiting, came, strict=True) if not has_come]
        for file in lost:
            if "s3UploadId" in file:
                self._presigned.give_up_parts(staging_key(upload_id, file["file"]), file["s3UploadId"])
        results = [
            FileResult((upload_id, file["file"]), "rejected", reason=EXPIRED, detail=DETAILS[EXPIRED]) for file in lost
        ]
        for start in range(0, len(results), FINISHED_AT_ONCE):
            self._table.finish(results[start : start + FINISHED_AT_ONCE])
        # What the PACS does not take, and a ZIP that is worked off, keep the upload open for as long as they are seen.
        recent = self._table.now() - _SEEN_WITHIN
        held = any(file.get("seenAt", 0) > recent for file, has_come in zip(waiting, came, strict=True) if has_come)
        self._outcomes.close(upload_id, overdue=not held)
