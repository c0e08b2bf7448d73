"""Workitems, and the worklist over each backend."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import boto3

from dicom_service import aws
from dicom_service.worklist.pacs_worklist import PacsWorklist
from dicom_service.worklist.reconcile import Reconciler
from dicom_service.worklist.service import WorklistService
from dicom_service.worklist.store import WorkitemStore
from dicomweb.transport import Transport
from dicomweb.worklist.base import Query, Worklist
from dicomweb.worklist.mwl_rs import MwlRs
from dicomweb.worklist.orthanc import Orthanc
from dicomweb.worklist.rest import Rest
from dicomweb.worklist.ups_rs import UpsRs
from tests.support.worklist_pacs import Server


def new_workitem(**changes: Any) -> dict[str, Any]:
    marker = uuid.uuid4().int
    return {
        "StudyInstanceUID": f"2.25.{marker}",
        "PatientID": f"PID{marker % 10**12}",
        "PatientName": "O'Brien^Mary=山田^花子",
        "AccessionNumber": f"A{marker % 10**12}",
        "Modality": "CT",
        "ScheduledStationAETitle": "CT1",
        "ScheduledProcedureStepStartDate": "2026-11-22",
        "ScheduledProcedureStepStartTime": "10:30",
        "ScheduledProcedureStepDescription": "CT head",
        **changes,
    }


BODY: dict[str, Any] = {
    "StudyInstanceUID": "1.2.3.1",
    "PatientID": "PID'1",
    "PatientName": 'O\'Brien^Mary "M"=山田^花子=やまだ^はなこ',
    "PatientBirthDate": "1970-02-03",
    "PatientSex": "F",
    "AccessionNumber": "A^1",
    "Modality": "CT",
    "ScheduledStationAETitle": "CT1",
    "ScheduledStationName": "Room 5",
    "ScheduledProcedureStepStartDate": "2026-11-22",
    "ScheduledProcedureStepStartTime": "10:30",
    "ScheduledProcedureStepDescription": 'CT "Schädel"',
    "ScheduledPerformingPhysiciansName": "BIANCHI^ANNA",
    "ReferringPhysicianName": "Ελένη^Παπά",
    "RequestingPhysician": "ROSSI^LUCA",
    "RequestedProcedureID": "RP1",
    "RequestedProcedureDescription": "Head",
    "AdmissionID": "ADM1",
    "CurrentPatientLocation": "Ward 3",
    "ServiceEpisodeID": "E1",
    "PatientState": "stable",
    "PregnancyStatus": 4,
    "MedicalAlerts": ["Nickel", "Latex"],
    "PlacerOrderNumberImagingServiceRequest": "PO1",
    "ConfidentialityConstraintOnPatientDataDescription": "VIP",
}


STORED = {
    **{
        name: text
        for name, text in BODY.items()
        if name not in ("StudyInstanceUID", "ScheduledPerformingPhysiciansName")
    },
    "PatientBirthDate": "19700203",
    "ScheduledProcedureStepStartDate": "20261122",
    "ScheduledProcedureStepStartTime": "1030",
    "ScheduledPerformingPhysicianName": "BIANCHI^ANNA",
    "PregnancyStatus": "4",
    "MedicalAlerts": "Nickel\\Latex",
}


def body(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {**BODY, "StudyInstanceUID": f"1.2.3.{number}", **changes}


def studies(harness: Harness, query: Query | None = None) -> set[str]:
    found: set[str] = set()
    cursor = None
    while True:
        page = harness.service.search(query or Query(), limit=2, cursor=cursor)
        assert len(page.items) <= 2
        found |= {item.study_instance_uid for item in page.items}
        cursor = page.cursor
        if cursor is None:
            return found


@dataclass
class Harness:
    """A worklist to test, and what stands behind it."""

    kind: str
    service: WorklistService
    reconciler: Reconciler
    store: WorkitemStore
    server: Server | None = None
    pacs_worklist: PacsWorklist | None = None
    now: list[float] = field(default_factory=lambda: [1_800_000_000.0])
    at_pacs: Worklist | None = None

    def events(self) -> list[tuple[str, str]]:
        """The events published so far: detail type and study."""
        found = boto3.client("dynamodb").scan(TableName="ExamEventsTable")["Items"]
        entries = sorted((aws.from_item(item) for item in found), key=lambda entry: entry["createdAt"])
        return [(entry["detailType"], json.loads(entry["detail"])["StudyInstanceUID"]) for entry in entries]

    def published(self) -> list[str]:
        return sorted(kind.removeprefix("Workitem ") for kind, _ in self.events())

    def rows(self) -> list[dict[str, Any]]:
        return [aws.from_item(item) for item in boto3.client("dynamodb").scan(TableName="WorkitemsTable")["Items"]]


def open_worklist(kind: str, url: str) -> Worklist:
    rest = Rest(url, Transport(max_retries=0))
    if kind == "mwl-rs":
        return MwlRs(rest)
    if kind == "orthanc":
        return Orthanc(rest)
    return UpsRs(rest, dialect=kind.removeprefix("ups-rs").strip("-") or "standard")
