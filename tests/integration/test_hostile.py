"""Hostile files through the service's own code into a real Orthanc: it lives on, and what is told of each file is so.

300 cases; ``SOAK=1`` makes 34 such blocks, each with its own seed. The store is in one process with the tables in moto,
which is enough here: nothing races, and what is watched is the PACS.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator

import boto3
import pytest
import requests
from moto.core.model_instances import reset_model_data

from dicom_service import aws
from dicom_service.element_walk import MAX_DEPTH
from dicom_service.errors import ServiceError
from dicom_service.exams.registry import ExamRegistry, ExamSettings
from dicom_service.pacs import connect
from dicom_service.settings import PacsSettings
from dicom_service.storing.admission import Admission, AdmissionSettings
from dicom_service.storing.claims import Claims, ClaimSettings
from dicom_service.storing.request_files import UploadedFile
from dicom_service.storing.store_files import StoreSettings, store_files
from dicomweb.client import DicomwebClient
from local.orthanc import Orthanc
from tests.support.cloud import cloud
from tests.support.hostile import Case, HostileFile, cases
from tests.support.template import create_table

COUNT = 300
BLOCKS = 34 if os.environ.get("SOAK") else 1
SEED = 20261124
TABLES = {"ExamsTable": "Exams", "InstancesTable": "Instances"}
# Each transaction in moto copies the whole table and keeps the copy, so the tables are emptied on the way: no two cases
# share a UID.
EMPTIED_EVERY = 45


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with cloud(monkeypatch, TABLES):
        yield


def empty_tables() -> None:
    reset_model_data()
    for resource, name in TABLES.items():
        aws.dynamodb().delete_table(TableName=name)
        create_table(aws.dynamodb(), resource, name)


class Service:
    """The way of `POST /exams`, without HTTP."""

    def __init__(self, orthanc: Orthanc, *, guarded: bool = True, max_depth: int = MAX_DEPTH) -> None:
        pacs = orthanc.pacs()
        self.client: DicomwebClient = connect(PacsSettings(url=pacs.url, quirks=pacs.quirks))
        self.client._transport._auth = requests.auth.HTTPBasicAuth(pacs.user, pacs.password)
        checks = boto3.client("sqs").create_queue(QueueName="checks")["QueueUrl"]
        self.registry = ExamRegistry(ExamSettings("Exams", checks))
        claims = Claims(ClaimSettings("Instances", "Exams"), lease=60)
        self.admission = Admission(AdmissionSettings(), self.client, claims) if guarded else None
        self.settings = StoreSettings(max_depth)

    def bring(self, file: HostileFile) -> tuple[str, int]:
        """Return what is told of a file, and the status."""
        try:
            files = [UploadedFile("file", file.content)]
            store_files(files, self.client, self.registry, self.admission, settings=self.settings)
        except ServiceError as error:
            return "refused", error.status
        return "stored", 200


class Watched:
    """What the PACS must go on holding, and what went wrong."""

    def __init__(self, orthanc: Orthanc) -> None:
        self.orthanc = orthanc
        self.pid = orthanc.pid
        self.held: dict[str, tuple[HostileFile, str]] = {}
        self.counts: Counter[str] = Counter()
        self.slowest = 0.0

    def content(self, file: HostileFile) -> str | None:
        """Digest of the instance as the PACS gives it; None where it has none."""
        pacs = self.orthanc.pacs()
        path = f"/studies/{file.study}/series/{file.study}.1/instances/{file.instance}"
        headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        given = requests.get(pacs.url + path, auth=(pacs.user, pacs.password), headers=headers, timeout=30)
        if given.status_code != 200:
            return None
        boundary = given.content[: given.content.index(b"\r\n")]
        return hashlib.sha256(given.content.replace(boundary, b"")).hexdigest()

    def check(self, case: Case, file: HostileFile, told: str, status: int, seconds: float) -> None:
        if self.orthanc.pid != self.pid or not self.orthanc.running:
            self.counts["PACS restarts"] += 1
            self.orthanc.start()
            self.pid = self.orthanc.pid
        self.counts["5xx"] += status >= 500
        self.slowest = max(self.slowest, seconds)
        wrong = file.told not in ("either", told)
        has = self.content(file)
        if told == "stored":
            wrong |= has is None
            if has is not None and file.instance not in self.held:
                self.held[file.instance] = (file, has)
        elif file.instance not in self.held:
            wrong |= has is not None
        if wrong:
            self.counts["wrongly told"] += 1
            has_it = "" if has is None else ", and the PACS has it"
            print(f"wrong: {case.kind} {file.instance}: {told} {status}, wanted {file.told}{has_it}")

    def changed(self) -> int:
        return sum(self.content(file) != digest for file, digest in self.held.values())


def bring_all(
    service: Service, watched: Watched, count: int, seed: int = SEED
) -> tuple[Counter[str], Counter[str], int]:
    """Bring cases in; return how many there were of each kind, what was told, and how many instances changed."""
    kinds: Counter[str] = Counter()
    told_so: Counter[str] = Counter()
    # The PACS is emptied between runs, but the root is new all the same: claims are by UID.
    for number, case in enumerate(cases(seed, count, f"2.25.{time.time_ns()}")):
        if number and number % EMPTIED_EVERY == 0:
            empty_tables()
        kinds[case.kind] += 1
        for file in case.files:
            began = time.monotonic()
            told, status = service.bring(file)
            told_so[told] += 1
            watched.check(case, file, told, status, time.monotonic() - began)
    return kinds, told_so, watched.changed()


@pytest.mark.parametrize("block", range(BLOCKS))
def test_hostile_files_harm_nobody(orthanc: Orthanc, tables: None, block: int) -> None:
    watched = Watched(orthanc)
    kinds, told_so, changed = bring_all(Service(orthanc), watched, COUNT, SEED + block)
    counts = ", ".join(f"{name} {watched.counts[name]}" for name in ("PACS restarts", "5xx", "wrongly told"))
    print(f"\nhostile cases {COUNT} (seed {SEED + block}), stored {told_so['stored']}, refused {told_so['refused']}")
    print(f"{counts}, changed or vanished {changed}, slowest file {watched.slowest:.1f} s")
    assert min(kinds.values()) >= COUNT // 9
    assert told_so["stored"] > COUNT
    assert told_so["refused"] > COUNT // 4
    assert +watched.counts == Counter()
    assert changed == 0


def test_control_without_the_guard_instances_vanish(orthanc: Orthanc, tables: None) -> None:
    watched = Watched(orthanc)
    *_, changed = bring_all(Service(orthanc, guarded=False), watched, 45)
    assert watched.counts["wrongly told"] > 5
    assert changed > 0


def test_control_without_the_ceiling_the_pacs_dies(orthanc: Orthanc, tables: None) -> None:
    watched = Watched(orthanc)
    bring_all(Service(orthanc, max_depth=500), watched, 90)
    assert watched.counts["PACS restarts"] > 0
