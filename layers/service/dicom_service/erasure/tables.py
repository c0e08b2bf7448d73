"""The tables: what in them belongs to the subject, and how it is taken out."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from dicom_service.erasure.places import Places
from dicom_service.erasure.stores import Writer, scan
from dicom_service.erasure.subject import Subject
from dicom_service.exams.registry import STUDY
from dicom_service.notifications.callback import CALLBACK
from dicom_service.otp.subjects import patient_subject, study_subject
from dicom_service.outbox import PENDING

ERASED_EVENT = "Event Erased"
_FEED = "FEED#"
_CLAIM_OF_STUDY = "#study "


def find_studies(places: Places, subject: Subject) -> None:
    """Add the studies that the tables know as the patient's."""
    if subject.request.patient is None:
        return
    for study in chain(_in_exams(places, subject), _in_events(places, subject), _in_codes(places, subject)):
        subject.add(study)
    for item in scan(places.archives):
        if subject.is_hashed(f"{item.get('patient', '')} {item.get('patients', '')}"):
            subject.add(item["StudyInstanceUID"])
    for item in scan(places.workitems):
        if _is_workitem_of(item, subject):
            subject.add(item["StudyInstanceUID"])


def _in_exams(places: Places, subject: Subject) -> Iterator[str]:
    for item in scan(places.exams):
        callback = json.loads(item["fields"]) if item["SOPInstanceUID"] == CALLBACK else {}
        known = item if item["SOPInstanceUID"] == STUDY else callback
        if subject.is_patient(known.get("PatientID"), known.get("IssuerOfPatientID")):
            yield item["StudyInstanceUID"]
    for item in scan(places.instances):
        if item["SOPInstanceUID"].startswith(_CLAIM_OF_STUDY) and subject.owns(item):
            yield item["SOPInstanceUID"].removeprefix(_CLAIM_OF_STUDY)


def _in_events(places: Places, subject: Subject) -> Iterator[str]:
    for item in scan(places.events):
        detail = _detail(item)
        if subject.is_patient(detail.get("PatientID"), detail.get("IssuerOfPatientID")):
            yield detail.get("StudyInstanceUID", "")


def _in_codes(places: Places, subject: Subject) -> Iterator[str]:
    for table in (places.otps, places.access_tokens):
        for item in scan(table):
            if subject.is_hashed(item.get("patient", "")):
                yield item["studyUID"]


def revoke(places: Places, subject: Subject, writer: Writer) -> list[str]:
    """Revoke the codes of the subject, which ends every token they gave; return their ids."""
    mine = [item for item in scan(places.otps) if _is_code_of(item, subject)]
    for item in mine:
        if item["state"] != "REVOKED" and not writer.rehearsal:
            # Not counted: the row is removed in the end.
            Writer().update("Otps", places.otps, {"otpId": item["otpId"]}, {"state": "REVOKED"})
    return [item["otpId"] for item in mine]


def erase_codes(places: Places, subject: Subject, writer: Writer, otp_ids: list[str]) -> None:
    """Remove access tokens, what codes are found by, and the codes, in this order."""
    codes = set(otp_ids)
    tokens = [row for row in scan(places.access_tokens) if row["otpId"] in codes or _is_code_of(row, subject)]
    writer.delete("AccessTokens", places.access_tokens, [{"tokenHash": row["tokenHash"]} for row in tokens])
    subjects = set(map(study_subject, subject.studies)) | set(map(patient_subject, subject.hashes()))
    # Also rows whose code has expired; the id of another issuer's patient has the same hash there.
    others = {item["otpId"] for item in scan(places.otps)} - codes
    rows = [
        row
        for row in scan(places.subjects)
        if row["otpId"] in codes or (row["subject"] in subjects and row["otpId"] not in others)
    ]
    keys = [{"subject": row["subject"], "otpId": row["otpId"]} for row in rows]
    writer.delete("OtpSubjects", places.subjects, keys)
    writer.delete("Otps", places.otps, [{"otpId": otp_id} for otp_id in otp_ids])


def erase_events(places: Places, subject: Subject, writer: Writer) -> None:
    """Blank the events of the feed, which keep their positions so that cursors go on; remove those of the outbox."""
    waiting = []
    for item in scan(places.events):
        if not _is_event_of(item, subject):
            continue
        key = {"shard": item["shard"], "sequence": item["sequence"]}
        if item["shard"].startswith(PENDING):
            waiting.append(key)
        else:
            # The id of an event may be derived from a UID: another stands in, the same each time.
            event_id = hashlib.sha256(f"erased {item['position']}".encode()).hexdigest()[:32]
            values = {"detail": "{}", "detailType": ERASED_EVENT, "eventId": event_id}
            writer.update("ExamEvents", places.events, key, values)
    writer.delete("ExamEvents", places.events, waiting)


def erase_archives(places: Places, subject: Subject, writer: Writer) -> None:
    """Remove the rows of archives: a build that is under way stops, and leaves nothing."""
    mine = [item["StudyInstanceUID"] for item in scan(places.archives) if subject.has(item["StudyInstanceUID"])]
    writer.delete("Archives", places.archives, [{"StudyInstanceUID": study} for study in mine])


def erase_exams(places: Places, subject: Subject, writer: Writer) -> None:
    """Remove claims, workitems and the registry's rows of the studies."""
    claims = [item["SOPInstanceUID"] for item in scan(places.instances) if _is_claim_of(item, subject)]
    writer.delete("Instances", places.instances, [{"SOPInstanceUID": uid} for uid in claims])
    workitems = [item["StudyInstanceUID"] for item in scan(places.workitems) if _is_workitem_of(item, subject)]
    writer.delete("Workitems", places.workitems, [{"StudyInstanceUID": uid} for uid in workitems])
    rows = [item for item in scan(places.exams) if subject.has(item["StudyInstanceUID"])]
    keys = [{name: row[name] for name in ("StudyInstanceUID", "SOPInstanceUID")} for row in rows]
    writer.delete("Exams", places.exams, keys)


def _is_claim_of(item: Mapping[str, Any], subject: Subject) -> bool:
    return subject.owns(item) or subject.has(item["SOPInstanceUID"].removeprefix(_CLAIM_OF_STUDY))


def _is_workitem_of(item: Mapping[str, Any], subject: Subject) -> bool:
    return subject.owns(item) or subject.owns(item.get("Fields", {})) or subject.owns(item.get("PendingFields") or {})


def _is_code_of(item: Mapping[str, Any], subject: Subject) -> bool:
    return subject.has(item["studyUID"]) or subject.is_hashed(item.get("patient", ""))


def _is_event_of(item: Mapping[str, Any], subject: Subject) -> bool:
    detail = _detail(item)
    if subject.owns(detail):
        return True
    file = str(detail.get("file", ""))
    filed = f"uploads/{detail['uploadId']}/{file}" if "uploadId" in detail else file.replace("drop-", "drop/", 1)
    return filed in subject.files


def _detail(item: Mapping[str, Any]) -> dict[str, Any]:
    if not item["shard"].startswith((_FEED, PENDING)):
        return {}
    detail: dict[str, Any] = json.loads(item["detail"])
    return detail
