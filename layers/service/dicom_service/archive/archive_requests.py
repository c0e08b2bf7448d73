"""What callers do with archives: ask for one, see how far it is, and get the URL of the ZIP.

A build is queued before it is written down (docs/decisions/0009): killed in between, the queue forgets it, and the
caller got no answer. A queued build that nobody took is queued again by whoever asks next.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dicom_service import aws
from dicom_service.archive.table import QUEUED, READY, Archive, ArchivesTable
from dicom_service.audit.notes import note
from dicom_service.day import iso
from dicom_service.errors import Conflict, NotFound, Unavailable
from dicom_service.exams.instance_cache import URL_LIFETIME
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.pacs import NO_EXAM, rows_of_study
from dicom_service.pacs_errors import pacs_errors
from dicom_service.patient import PATIENT_FIELDS, Patient, PatientHasher
from dicomweb.dataset import text

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

_NOT_QUEUED = "The archive cannot be queued at the moment; try again."
# Seconds after which a queued build that nobody works on is queued again.
_FORGOTTEN = 60
_NONE = "No archive of this exam was asked for, or it has expired."
_NOT_ALONE = "The files of this exam name another patient, or several; its issuer has to correct them in the PACS."
# So that the row is there when the message is.
_DELAY = 1
_TRIES = 4
_INSTANCES = "00201208"


class ArchiveRequests:
    """Answers the routes of ``…/archive``.

    Parameters
    ----------
    client
        The PACS.
    table
        The archives.
    bucket
        The cache bucket.
    queue_url
        The queue of builds.
    hasher
        Returns the hasher of patients.
    """

    def __init__(
        self,
        client: "DicomwebClient",
        table: ArchivesTable,
        bucket: str,
        queue_url: str,
        hasher: Callable[[], PatientHasher],
    ) -> None:
        self._client = client
        self._table = table
        self._bucket = bucket
        self._queue_url = queue_url
        self._hasher = hasher

    def ask(self, study_uid: str, scope: PatientScope, requester: str) -> Archive:
        """Return the archive of an exam that is ready or being built; begin a build where there is none.

        Parameters
        ----------
        requester
            The otpId of the caller's code, or `dicom_service.archive.table.SERVICE`.

        Raises
        ------
        NotFound
            The PACS has no such exam.
        Conflict
            Its files are not, or not only, of the patient whom the access token was issued for: another build of them
            would not be either.
        ExamSuspended
            By the PACS, it is not that patient's.
        PacsError, Unavailable
            The PACS or a store fails.
        """
        with self._client.shared_deadline():
            scope.revalidate(self._client)
            rows = self._rows_in_pacs(study_uid)
        scope.check_rows(rows)
        total, patients = _instances(rows), self._patients(rows)
        for _ in range(_TRIES):
            seen = self._table.get(study_uid)
            if seen and self._is_current(seen, total, patients):
                _check_label(seen, scope)
                if self._table.join(seen, requester):
                    forgotten = seen.state == QUEUED and self._table.now() - seen.updated_at > _FORGOTTEN
                    if forgotten and self._table.touch(seen):
                        self._enqueue(study_uid, seen.build)
                    return seen
                continue
            build = secrets.token_hex(15)
            self._enqueue(study_uid, build)
            if self._table.begin(study_uid, build, requester, seen, patients):
                break
        found = self._table.get(study_uid)
        if found is None:
            raise Unavailable(_NOT_QUEUED)
        return found

    def _is_current(self, archive: Archive, total: int | None, patients: str) -> bool:
        """Return whether an archive is what another build would be."""
        if not archive.is_alive(self._table.now()):
            return False
        if archive.state != READY:
            return True
        changed = None not in (total, archive.total) and total != archive.total
        # A correction in the PACS makes another ZIP, for staff too.
        return not changed and patients in ("", archive.patients)

    def _rows_in_pacs(self, study_uid: str) -> list[dict[str, Any]]:
        with pacs_errors(NO_EXAM):
            fields = ("NumberOfStudyRelatedInstances", *PATIENT_FIELDS)
            rows = rows_of_study(self._client, study_uid, includefields=fields)
        if not rows:
            raise NotFound(NO_EXAM)
        return rows

    def _patients(self, rows: Iterable[Mapping[str, Any]]) -> str:
        patients = dict.fromkeys(map(Patient.from_dataset, rows))
        return " ".join(self._hasher().hash(patient) for patient in patients if patient.patient_id)

    @aws.errors(_NOT_QUEUED)
    def _enqueue(self, study_uid: str, build: str) -> None:
        message = {"StudyInstanceUID": study_uid, "build": build, "ticket": secrets.token_hex(8)}
        aws.sqs().send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(message), DelaySeconds=_DELAY)

    def find(self, study_uid: str, scope: PatientScope) -> Archive:
        """Return the archive of an exam that was asked for.

        Raises
        ------
        NotFound
            None was, it has expired, or it is from before the PACS had this patient.
        Conflict, ExamSuspended, PacsError, Unavailable
            As `ask`.
        """
        with self._client.shared_deadline():
            scope.revalidate(self._client)
        archive = self._table.get(study_uid)
        if archive is None or (archive.state == READY and not archive.is_alive(self._table.now())):
            raise NotFound(_NONE, code="NO_SUCH_ARCHIVE")
        _check_label(archive, scope)
        for hashed in archive.patients.split():
            note(study_uid=study_uid, hashed=hashed)
        return archive.as_told(self._table.now())

    def url(self, archive: Archive) -> str:
        """Return a URL that opens the ZIP to anyone for `URL_LIFETIME` seconds; a transfer may go on for longer."""
        disposition = f'attachment; filename="{archive.study_uid}.zip"'
        return aws.presigned_url(self._bucket, archive.key, URL_LIFETIME, disposition=disposition)


def _check_label(archive: Archive, scope: PatientScope) -> None:
    if archive.state != READY or scope.accepts_label(archive.patient):
        return
    if scope.accepts_label(archive.patients):
        raise Conflict(_NOT_ALONE, code="PATIENT_MISMATCH")
    raise NotFound(_NONE, code="NO_SUCH_ARCHIVE")


def _instances(rows: Iterable[Mapping[str, Any]]) -> int | None:
    counts = [text(row, _INSTANCES) or "" for row in rows]
    return sum(map(int, counts)) if all(count.isdigit() for count in counts) else None


def view(archive: Archive) -> dict[str, Any]:
    """Return what callers see of an archive."""
    values = {
        "state": archive.state,
        "requestedAt": iso(archive.requested_at),
        "instances": archive.total,
        "done": archive.done,
        "size": archive.size,
        "expiresAt": iso(archive.expires_at) if archive.expires_at else None,
        "reason": archive.reason,
    }
    return {name: value for name, value in values.items() if value is not None}
