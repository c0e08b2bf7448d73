"""Limits what the bearer of an exam access token may see: one study of one patient, as the PACS has it now.

Everything that is returned names its patient, so comparing it costs nothing: rows of lists in which the PACS names the
patient, the header behind a thumbnail, the first bytes of a file. In addition, the PACS is searched for the study at
most once a minute for each token (docs/decisions/0022-an-exam-is-a-study-of-one-patient.md). Other credentials see
everything.
"""

import io
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from dicom_service import aws
from dicom_service.audit.notes import note, note_rows
from dicom_service.errors import PacsError
from dicom_service.native_syntaxes import DEFLATED
from dicom_service.patient import PATIENT_ID, Patient, PatientHasher
from dicom_service.unreadable import unreadable

if TYPE_CHECKING:
    from dicom_service.otp.guard import ExamGuard
    from dicomweb.client import DicomwebClient

COMPARE_EVERY = 60
# To be requested in searches, so that rows can be compared and recorded.
COMPARED_FIELDS = ("PatientID",)
_LAST_TAG = 0x00100021
_MOST_INFLATED = 1 << 20


def _guard() -> "ExamGuard":
    # Only a request with an access token asks it: the import is not everybody's to pay.
    from dicom_service.otp.dependencies import guard

    return guard()


@dataclass(frozen=True)
class Bearer:
    """The exam access token of a request, as the authorizer found it.

    Parameters
    ----------
    patient
        Hash of the patient; empty in tokens that are older than these hashes.
    compared_at
        When the exam's patient in the PACS was last compared, seconds since the epoch; 0 for never.
    """

    otp_id: str
    token_hash: str
    study_uid: str
    patient: str
    compared_at: int


class PatientScope:
    """What one request may see.

    Parameters
    ----------
    bearer
        Its access token; None for credentials that see everything.
    guard
        Returns the guard that compares patients and suspends codes.
    table
        Name of the AccessTokens table.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        bearer: Bearer | None = None,
        guard: Callable[[], "ExamGuard"] = _guard,
        table: str = "",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bearer = bearer
        self._guard = guard
        self._table = table
        self._clock = clock

    @property
    def limited(self) -> bool:
        """Whether the credential sees one exam of one patient alone."""
        return self._bearer is not None

    @property
    def study_uid(self) -> str | None:
        """The one study that the request may see; None for credentials that see everything."""
        return self._bearer.study_uid if self._bearer else None

    def ensure_compared(self, pacs: "DicomwebClient") -> None:
        """Compare the exam of a token that was never compared; nothing may be returned before."""
        if self._bearer is not None and not (self._bearer.compared_at and self._bearer.patient):
            self.revalidate(pacs)

    def revalidate(self, pacs: "DicomwebClient") -> None:
        """Compare the exam's patient in the PACS with the token's, unless that was done within the last minute.

        Raises
        ------
        ExamSuspended
            The exam is not, or not only, the patient's: its codes are suspended now.
        NotFound
            The PACS does not have the exam.
        PacsError
            The PACS cannot be searched.
        """
        bearer, now = self._bearer, int(self._clock())
        if bearer is None or now - bearer.compared_at < COMPARE_EVERY:
            return
        known = bool(bearer.compared_at and bearer.patient)
        # One of many requests searches. For a token that was never compared each does: none may go on without a result.
        if known and not self._record(bearer, bearer.compared_at, now):
            return
        try:
            patient = self._guard().ask(pacs, bearer.otp_id, bearer.study_uid, bearer.patient or None)
        except PacsError:
            if known:
                self._record(bearer, now, bearer.compared_at)
            raise
        if not known:
            self._record(bearer, bearer.compared_at, now, patient)
        self._bearer = replace(bearer, patient=patient, compared_at=now)

    def check_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Compare the rows of a search in which the PACS names a patient, and note all as shown."""
        note_rows(rows)
        self.compare_rows(rows)

    def compare_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Compare the rows of a search; which of them are shown, the caller notes."""
        if self._bearer is not None:
            self._compare({Patient.from_dataset(row) for row in rows if row.get(PATIENT_ID, {}).get("Value")})

    def check_all(self, datasets: Iterable[Mapping[str, Any]]) -> None:
        """Compare datasets each of which has to name the patient, such as the metadata of a series."""
        patients = {Patient.from_dataset(dataset) for dataset in datasets}
        for patient in patients:
            note(patient=patient)
        if self._bearer is not None:
            self._compare(patients)

    def check_header(self, header: Mapping[str, Any]) -> None:
        """Compare the header of an instance."""
        note(patient=Patient.from_dataset(header))
        if self._bearer is not None:
            self._compare({Patient.from_dataset(header)})

    def check_file(self, beginning: bytes) -> None:
        """Compare the first bytes of a file, before any of it is returned.

        Raises
        ------
        PacsError
            The file does not name its patient.
        """
        patient = patient_of_file(beginning)
        note(patient=patient)
        if self._bearer is None:
            return
        if patient is None:
            raise PacsError("The PACS returned a file that cannot be read.", status=502, code="PACS_ERROR")
        self._compare({patient})

    def accepts_label(self, label: str) -> bool:
        """Return whether a cached file is the patient's, by the label that was stored with it."""
        return self._bearer is None or any(_same(part, self._bearer.patient) for part in label.split())

    def _compare(self, patients: Iterable[Patient]) -> None:
        seen: Sequence[Patient] = list(patients)
        if seen and self._bearer is not None:
            bearer = self._bearer
            self._guard().compare(seen, bearer.otp_id, bearer.study_uid, bearer.patient or None)

    def _record(self, bearer: Bearer, before: int, after: int, patient: str | None = None) -> bool:
        """Record on the token when it was compared; return False when another request did so since."""
        values = {":before": before, ":after": after, ":none": 0, ":patient": patient}
        setting = "SET comparedAt = :after" + (", patient = :patient" if patient else "")
        if before:
            condition, unused = "comparedAt = :before", ":none"
        else:
            condition, unused = "attribute_not_exists(comparedAt) OR comparedAt = :none", ":before"
        values.pop(unused)
        try:
            with aws.errors("Access tokens cannot be looked up at the moment; try again."):
                aws.dynamodb().update_item(
                    TableName=self._table,
                    Key=aws.to_item({"tokenHash": bearer.token_hash}),
                    UpdateExpression=setting,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=aws.to_item(values),
                )
        except aws.ConditionFailed:
            return False
        return True


def bearer_of(app: APIGatewayRestResolver) -> Bearer | None:
    """Return the exam access token of a request from the authorizer's context; None for other credentials."""
    context = app.current_event.raw_event.get("requestContext", {}).get("authorizer") or {}
    if context.get("role") != "exam":
        return None
    return Bearer(
        otp_id=str(context.get("otpId", "")),
        token_hash=str(context.get("tokenHash", "")),
        study_uid=str(context.get("studyUID", "")),
        patient=str(context.get("patient") or ""),
        compared_at=int(context.get("comparedAt") or 0),
    )


def patient_label(patient: Patient | None, hasher: PatientHasher) -> str:
    """Return the label for a cached file or thumbnail: its patient's hashes, under every key."""
    return " ".join(hasher.all_hashes(patient)) if patient is not None else ""


def patient_of_file(beginning: bytes) -> Patient | None:
    """Return the patient of a DICOM file by its first bytes; None when they cannot be read.

    The identity is near the beginning: elements are in the order of their tags (PS3.5 §7.1).
    """
    from pydicom.filereader import read_dataset, read_partial, read_preamble
    from pydicom.uid import UID

    def behind(tag: int, *_: object) -> bool:
        return int(tag) > _LAST_TAG

    try:
        file = io.BytesIO(beginning)
        read_preamble(file, force=False)
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: int(tag) >> 16 != 2)
        if UID(str(meta.get("TransferSyntaxUID", ""))) == DEFLATED:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(beginning[file.tell() :], _MOST_INFLATED)
            found = read_dataset(io.BytesIO(inflated), False, True, stop_when=behind)
        else:
            found = read_partial(io.BytesIO(beginning), stop_when=behind)
        return Patient.of(str(found.get("PatientID") or ""), str(found.get("IssuerOfPatientID") or ""))
    except unreadable():
        return None


def _same(one: str, other: str) -> bool:
    """Return whether two hashes are of one patient, as `Patient.is_same` does for patients."""
    parts = list(zip(one.split("."), other.split("."), strict=False))
    if len(parts) != 3 or any(a != b for a, b in parts[:2]):
        return False
    return not all(parts[2]) or parts[2][0] == parts[2][1]
