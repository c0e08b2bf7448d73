"""Stores the files of one request in the PACS: all are checked first, then all are sent, with a result for each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from dicom_service import metrics
from dicom_service.audit.notes import note
from dicom_service.element_walk import MAX_DEPTH, NotDicom
from dicom_service.errors import Conflict, ServiceError, Unavailable, UnprocessableContent
from dicom_service.exams.registry import Arrived, Source
from dicom_service.pacs_errors import pacs_errors
from dicom_service.part10 import BytesSource
from dicom_service.patient import Patient
from dicom_service.settings import setting
from dicom_service.storing.admission import Admission, Decision
from dicom_service.storing.failure_reasons import DETAILS, PACS_STOPS_ON_IT, store_failure
from dicom_service.storing.outbound_instance import OutboundInstance, open_instance
from dicom_service.storing.request_files import UploadedFile
from dicomweb.errors import PacsTimeout, PacsUnreachable

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient, InstanceResult, StoreResult

DUPLICATE = 0x0111
# How long a request waits for another writer.
_LOOKS, _LOOK_AGAIN = 16, 0.25


class Registry(Protocol):
    """Registers what arrived."""

    def record(self, arrived: Sequence[Arrived], *, source: Source, session: str | None) -> int:
        """Register instances; return how many are new."""


@dataclass(frozen=True)
class StoreSettings:
    """What a file may look like that is stored."""

    max_depth: int = setting("MAX_SEQUENCE_DEPTH", cast=int, default=MAX_DEPTH)


@dataclass(frozen=True)
class Stored:
    """What became of a request's files.

    Parameters
    ----------
    dataset
        The STOW-RS response dataset, DICOM JSON Model (PS3.18 §10.5.3).
    complete
        Whether the PACS took all of them.
    """

    dataset: dict[str, Any]
    complete: bool


def store_files(
    files: Sequence[UploadedFile],
    client: "DicomwebClient",
    registry: Registry,
    admission: Admission | None = None,
    *,
    settings: StoreSettings | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Stored:
    """Store DICOM files in the PACS and register what arrived.

    Parameters
    ----------
    files
        The files; the same instance given twice is stored once.
    admission
        Decides which files are accepted; None accepts all.
    settings
        What a file may look like.
    sleep
        Waits for files being stored under the same UIDs.

    Raises
    ------
    UnprocessableContent
        A file is not DICOM, or the PACS stops on it; each bad one is named and nothing is stored.
    Conflict
        A file conflicts with a stored instance or study; each is named and nothing is stored. Or the PACS stored
        none; the dataset has the reasons.
    PacsError, Unavailable
        The PACS or one of our stores failed, or other files are being stored under the same UIDs; repeat the request.
    """
    from dicomweb.client import StoreResult

    named = {
        instance.header.sop_instance_uid: (file, instance)
        for file, instance in zip(files, _open(files, (settings or StoreSettings()).max_depth), strict=True)
    }
    instances = [instance for _, instance in named.values()]
    for header in (instance.header for instance in instances):
        patient = Patient.of(header.patient_id, header.issuer_of_patient_id)
        note(study_uid=header.study_instance_uid, patient=patient)
    decisions = _admitted(list(named.values()), admission, sleep) if admission else []
    alone = [n for n, decision in enumerate(decisions) if decision.suspected]
    company = [n for n in range(len(instances)) if n not in alone]
    results: dict[str, InstanceResult] = {}
    study_url = None
    for group in [company, *([n] for n in alone)]:
        if not group:
            continue
        sent = [instances[n] for n in group]
        with pacs_errors():
            result = _send(sent, [decisions[n] for n in group if decisions], client, admission, alone=group != company)
        study_url = study_url or result.study_url
        results |= {instance.sop_instance_uid: instance for instance in result.instances}
        stored = [file.arrived for file in sent if results[file.header.sop_instance_uid].stored]
        if stored:
            registry.record(stored, source="upload", session=None)
    answer = StoreResult(tuple(results[file.header.sop_instance_uid] for file in instances), study_url)
    taken = sum(instance.stored for instance in answer.instances)
    metrics.count("FilesStored", taken)
    metrics.count("FilesRejected", len(answer.instances) - taken)
    if answer.none_stored:
        raise Conflict("The PACS stored none of the files.", code="PACS_STORED_NONE", result=[answer.to_dataset()])
    return Stored(answer.to_dataset(), complete=answer.all_stored)


def _admitted(
    named: Sequence[tuple[UploadedFile, OutboundInstance]],
    admission: Admission,
    sleep: Callable[[float], None],
) -> list[Decision]:
    """Have all files admitted or none: what another writer is just storing is waited for, for a short while."""
    for _ in range(_LOOKS):
        # The table of claims is waited for, too.
        with pacs_errors(timed=False):
            decisions = admission.decide([instance for _, instance in named])
        rejected = [
            {"file": file.name, "reason": decision.reason, "problem": DETAILS[decision.reason]}
            for (file, _), decision in zip(named, decisions, strict=True)
            if decision.reason
        ]
        if rejected or any(decision.wait for decision in decisions):
            for decision in decisions:
                admission.give_up(decision)
        if rejected:
            raise _rejection(rejected, len(named))
        if not any(decision.wait for decision in decisions):
            return decisions
        sleep(_LOOK_AGAIN)
    raise _being_stored()


def _rejection(rejected: list[dict[str, Any]], count: int) -> ServiceError:
    metrics.count("FilesRejected", len(rejected))
    code = rejected[0]["reason"]
    names = ", ".join(entry["file"] for entry in rejected[:10])
    detail = f"{len(rejected)} of {count} files cannot be stored, so none was: {names}. {rejected[0]['problem']}"
    kind = UnprocessableContent if code == PACS_STOPS_ON_IT else Conflict
    return kind(detail, code=code, errors=rejected)


def _being_stored() -> Unavailable:
    detail = "Another file of this instance or study is just being stored; try again."
    return Unavailable(detail, code="INSTANCE_BEING_STORED", headers={"Retry-After": "5"})


def _send(
    files: Sequence[OutboundInstance],
    decisions: Sequence[Decision],
    client: "DicomwebClient",
    admission: Admission | None,
    *,
    alone: bool,
) -> "StoreResult":
    from dicomweb.client import StoreResult

    if admission is None:
        return client.store_instances([file.part() for file in files])
    place = admission.lock() if alone else None
    if alone and place is None:
        raise _being_stored()
    try:
        result = client.store_instances([file.part() for file in files])
    except (PacsUnreachable, PacsTimeout):
        admission.stopped(decisions, alone=alone)
        raise
    finally:
        if place is not None:
            admission.unlock(place)
    instances = []
    for file, decision, instance in zip(files, decisions, result.instances, strict=True):
        if instance.duplicate and not admission.confirm(file, decision):
            instance = replace(instance, stored=False, failure_reason=DUPLICATE)
        if not instance.stored and not store_failure(instance.failure_reason).retryable:
            admission.give_up(decision)
        instances.append(instance)
    return StoreResult(tuple(instances), result.study_url)


def _open(files: Sequence[UploadedFile], max_depth: int) -> list[OutboundInstance]:
    """Make all files ready to be sent, or none."""
    instances, bad = [], []
    seen: dict[str, bytes] = {}
    for file in files:
        try:
            instance = open_instance(BytesSource(file.content), max_depth=max_depth)
            if seen.setdefault(instance.header.sop_instance_uid, file.content) != file.content:
                raise NotDicom("CONFLICTING_COPY", "Another file of this request has the same SOPInstanceUID.")
            instances.append(instance)
        except NotDicom as error:
            bad.append({"file": file.name, "reason": error.reason, "problem": error.detail})
    if bad:
        metrics.count("FilesRejected", len(bad))
        names = ", ".join(entry["file"] for entry in bad[:10])
        raise UnprocessableContent(
            f"{len(bad)} of {len(files)} files cannot be stored, so none was: {names}.", code="NOT_DICOM", errors=bad
        )
    return instances
