"""Admission control: decides before a file is sent to the PACS whether it conflicts with another.

Two rules hold for `POST /exams`, uploads, drops and ZIPs alike
(docs/decisions/0025-claim-an-instance-before-it-is-sent.md):

- a SOPInstanceUID belongs to one study and one content;
- a StudyInstanceUID belongs to one patient.

The PACS is searched once for each batch: for the instances and for the patients of the studies. Files that are being
sent at the same time are known by their claims (`dicom_service.storing.claims`).
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dicom_service import metrics
from dicom_service.errors import Unavailable
from dicom_service.log import describe, get_logger, hashed
from dicom_service.patient import Patient
from dicom_service.settings import setting
from dicom_service.storing.claims import Claim, Claims
from dicom_service.storing.failure_reasons import PACS_STOPS_ON_IT, SOP_INSTANCE_DIFFERS, STUDY_OF_ANOTHER_PATIENT
from dicom_service.storing.outbound_instance import OutboundInstance
from dicom_service.storing.pacs_lookup import Place, digest_of, find_instances, find_patients, has_same_content
from dicomweb.errors import DicomwebError

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = get_logger()
_T = TypeVar("_T")

STOPS = 3
# How long the patients of a study count as known, in seconds; as for access tokens.
_FRESH_FOR = 60.0
_LOCKED_FOR = 130.0
# For the claims of four batches at once, whose digests may take long, and the patients of their studies.
_THREADS = 8


def _decides(text: str) -> bool:
    if text not in ("reject", "pacs-decides"):
        raise ValueError("neither reject nor pacs-decides")
    return text == "pacs-decides"


@dataclass(frozen=True)
class AdmissionSettings:
    """The conflicts that are left to the PACS."""

    pacs_decides_instances: bool = setting("SOP_CONFLICT", cast=_decides, default=False)
    pacs_decides_studies: bool = setting("STUDY_CONFLICT", cast=_decides, default=False)


@dataclass(frozen=True)
class Decision:
    """The decision about a file.

    Parameters
    ----------
    reason
        Why it is rejected; None if it is not.
    wait
        Another file of this instance or study is being sent: try again soon.
    claim
        The claim under which it is sent.
    fresh
        The claim was made for this file.
    """

    reason: str | None = None
    wait: bool = False
    claim: Claim | None = None
    fresh: bool = False

    @property
    def admitted(self) -> bool:
        """Whether the file may be sent now."""
        return self.reason is None and not self.wait

    @property
    def suspected(self) -> bool:
        """Whether the PACS stopped responding to this content before, so that it is sent alone."""
        return self.claim is not None and self.claim.suspected


class Admission:
    """Admission control in front of one PACS; several threads may use it.

    Parameters
    ----------
    settings
        The conflicts that are left to the PACS.
    pacs
        The client.
    claims
        The claims.
    """

    def __init__(self, settings: AdmissionSettings, pacs: "DicomwebClient", claims: Claims) -> None:
        self._settings = settings
        self._pacs = pacs
        self._claims = claims
        self._pool = ThreadPoolExecutor(_THREADS)
        self._patients: dict[str, tuple[float, list[Patient]]] = {}

    def decide(self, files: Sequence[OutboundInstance]) -> list[Decision]:
        """Decide about files with different SOPInstanceUIDs, and claim those that are admitted.

        The claims are made while the PACS is searched: neither needs the other's result. The claim of a file that is
        then rejected is released at once.

        Raises
        ------
        DicomwebError
            The PACS cannot be asked.
        Unavailable
            The table of claims is unavailable.
        ObjectMissing, StorageError
            A file cannot be read.
        """
        claiming = self._pool.submit(self._claim, files)
        studies = _Studies(self, files)
        try:
            found = {} if self._settings.pacs_decides_instances else self._places_of(files)
        except DicomwebError:
            self._release(_fresh(*claiming.result()))
            raise
        wanted, standing = claiming.result()
        fresh = _fresh(wanted, standing)
        try:
            of_studies = [studies.decide(file) for file in files]
            decisions = self._judged(files, wanted, of_studies, standing, found)
        except (DicomwebError, Unavailable):
            self._release(fresh)
            raise
        held = {decision.claim.token for decision in decisions if decision.claim is not None}
        self._release([claim for claim in fresh if claim.token not in held])
        return decisions

    def _claim(self, files: Sequence[OutboundInstance]) -> tuple[list[Claim], dict[str, Claim]]:
        """Claim all files; return their claims, and those that exist already by SOPInstanceUID."""
        wanted = [
            self._claims.wanted(
                file.header.sop_instance_uid, file.header.study_instance_uid, digest_of(file.header, file.stream())
            )
            for file in files
        ]
        return wanted, self._claims.make(wanted)

    def _places_of(self, files: Sequence[OutboundInstance]) -> dict[str, list[Place]]:
        return find_instances(
            self._pacs, {file.header.sop_instance_uid: file.header.study_instance_uid for file in files}
        )

    def study(self, study: str, patient: Patient) -> tuple[list[Patient], bool]:
        """Return the patients of a study in the PACS, and whether a study without any was claimed for this one."""
        known = self._patients_of(study)
        return known, not known and self._claims.claim_study(study, patient)

    def in_background(self, call: Callable[..., _T], *arguments: Any) -> "Future[_T]":
        """Run a call in parallel with the others of a batch."""
        return self._pool.submit(call, *arguments)

    def known_patients(self, study: str) -> list[Patient]:
        """Return the patients of a study that the PACS named a moment ago; none where it has to be asked."""
        asked_at, patients = self._patients.get(study, (0.0, []))
        return patients if time.monotonic() - asked_at <= _FRESH_FOR else []

    def _patients_of(self, study: str) -> list[Patient]:
        patients = self.known_patients(study)
        if not patients:
            patients = find_patients(self._pacs, study)
            if len(self._patients) > 1000:
                self._patients.clear()
            self._patients[study] = (time.monotonic(), patients)
        return patients

    def _judged(
        self,
        files: Sequence[OutboundInstance],
        wanted: Sequence[Claim],
        of_studies: Sequence[Decision],
        standing: dict[str, Claim],
        found: dict[str, list[Place]],
    ) -> list[Decision]:
        """Decide about each file by what the PACS has, and by the claim that already exists for its UID."""
        others = [
            standing[claim.sop_instance_uid]
            for claim in wanted
            if claim.sop_instance_uid in standing and not standing[claim.sop_instance_uid].is_same(claim)
        ]
        stored = self._claims.stored(others) if others and not self._settings.pacs_decides_instances else set()
        decisions = []
        for file, claim, of_study in zip(files, wanted, of_studies, strict=True):
            uid = claim.sop_instance_uid
            other = standing.get(uid)
            here = _here(claim, found)
            if not of_study.admitted:
                decisions.append(of_study)
            elif uid in found and here is None:
                decisions.append(Decision(SOP_INSTANCE_DIFFERS))
            elif self._settings.pacs_decides_instances and (other is None or not other.is_same(claim)):
                decisions.append(Decision(claim=claim if other is None else None, fresh=other is None))
            elif other is None:
                decisions.append(self._unclaimed(file, claim, here))
            elif other.is_same(claim):
                decisions.append(self._repeated(other))
            else:
                decisions.append(self._other(file, claim, other, here, is_stored=uid in stored))
        return decisions

    def _release(self, claims: Sequence[Claim]) -> None:
        """Release claims; one that cannot be released expires with its lease."""
        for released in [self._pool.submit(self._claims.release, claim) for claim in claims]:
            if isinstance(error := released.exception(), Unavailable):
                logger.warning("claim not released", extra=describe(error))
            elif error:
                raise error

    def _unclaimed(self, file: OutboundInstance, claim: Claim, here: Place | None) -> Decision:
        if here is None or self._same(file, claim, here):
            return Decision(claim=claim, fresh=True)
        # The PACS got it by another way than this service, with different content.
        return Decision(SOP_INSTANCE_DIFFERS)

    def _repeated(self, standing: Claim) -> Decision:
        if standing.stops >= STOPS:
            return Decision(PACS_STOPS_ON_IT)
        renewed = self._claims.renewed(standing)
        return Decision(wait=True) if renewed is None else Decision(claim=renewed)

    def _other(
        self, file: OutboundInstance, claim: Claim, standing: Claim, here: Place | None, *, is_stored: bool
    ) -> Decision:
        leased = standing.lease_until > self._claims.now
        if leased and is_stored:
            return Decision(SOP_INSTANCE_DIFFERS)
        if here is not None and not self._same(file, claim, here):
            return Decision(SOP_INSTANCE_DIFFERS)
        if leased:
            # Content that the PACS has already does no harm; the holder of the claim is about to be rejected.
            return Decision() if here else Decision(wait=True)
        # Its writer is gone, so only the PACS's own content counts, if it has any.
        taken = self._claims.replace(standing, claim)
        return Decision(claim=claim, fresh=True) if taken else Decision(wait=True)

    def _same(self, file: OutboundInstance, claim: Claim, place: Place) -> bool:
        return has_same_content(self._pacs, place, file.header, claim.digest, file.size, file.stream)

    def confirm(self, file: OutboundInstance, decision: Decision) -> bool:
        """Return whether the PACS has this content, after it reported a duplicate instance."""
        if decision.claim is None:
            return True
        header = file.header
        place = Place(header.study_instance_uid, header.series_instance_uid)
        return self._same(file, decision.claim, place)

    def give_up(self, decision: Decision) -> None:
        """Release the claim of a file that the PACS will never store."""
        if decision.claim is not None and decision.fresh:
            self._claims.release(decision.claim)

    def lock(self) -> Claim | None:
        """Take the lock under which suspected files are sent, one at a time; None while another has it."""
        return self._claims.lock(_LOCKED_FOR)

    def unlock(self, place: Claim) -> None:
        """Release that lock."""
        self._claims.release(place)

    def stopped(self, decisions: Sequence[Decision], *, alone: bool) -> bool:
        """Record that the PACS did not respond to a request; return whether its one file is rejected for good.

        Files sent together only become suspected. A file sent alone is counted if the PACS stays silent afterwards:
        a connection that merely broke is not the file's fault.
        """
        claims = [decision.claim for decision in decisions if decision.claim is not None]
        if not alone:
            for claim in claims:
                self._claims.note_stop(claim, alone=False)
            return False
        if not claims or self.answers():
            return False
        stops = self._claims.note_stop(claims[0], alone=True)
        if stops >= STOPS:
            count_pacs_stop(claims[0].sop_instance_uid)
        return stops >= STOPS

    def answers(self) -> bool:
        """Return whether the PACS responds at all."""
        try:
            find_patients(self._pacs, "2.25.0")
        except DicomwebError:
            return False
        return True

    @property
    def pacs_decides_studies(self) -> bool:
        """Whether a second patient under a study is left to the PACS."""
        return self._settings.pacs_decides_studies


class _Studies:
    """The patients of a batch's studies; a study that the PACS lacks is claimed for its first file's patient."""

    def __init__(self, admission: Admission, files: Sequence[OutboundInstance]) -> None:
        self._first: dict[str, Patient] = {}
        self._known: dict[str, list[Patient]] = {}
        self._asked: dict[str, Future[tuple[list[Patient], bool]]] = {}
        if admission.pacs_decides_studies:
            return
        for file in files:
            self._first.setdefault(file.header.study_instance_uid, _patient(file))
        for study, patient in self._first.items():
            if known := admission.known_patients(study):
                self._known[study] = known
            else:
                self._asked[study] = admission.in_background(admission.study, study, patient)

    def decide(self, file: OutboundInstance) -> Decision:
        study = file.header.study_instance_uid
        if study not in self._first:
            return Decision()
        asked = self._asked.get(study)
        known, claimed = asked.result() if asked else (self._known[study], False)
        patient = _patient(file)
        if not any(patient.is_same(other) for other in known or [self._first[study]]):
            return Decision(STUDY_OF_ANOTHER_PATIENT)
        return Decision(wait=not known and not claimed)


def _patient(file: OutboundInstance) -> Patient:
    # A PACS returns the first of several values.
    return Patient.of(file.header.patient_id.split("\\")[0], file.header.issuer_of_patient_id)


def _fresh(wanted: Sequence[Claim], standing: dict[str, Claim]) -> list[Claim]:
    return [claim for claim in wanted if claim.sop_instance_uid not in standing]


def _here(claim: Claim, found: dict[str, list[Place]]) -> Place | None:
    places = found.get(claim.sop_instance_uid, [])
    return next((place for place in places if place.study_instance_uid == claim.study_instance_uid), None)


def count_pacs_stop(sop_instance_uid: str) -> None:
    """Count a file that makes the PACS stop responding; an alarm watches the metric."""
    logger.error("the PACS stops on a file", extra={"instance": hashed(sop_instance_uid)})
    metrics.count("PacsStopsOnIt")
