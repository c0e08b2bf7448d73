"""Asking for an archive: whom it is given to, and when another is made."""

import io
import json
import time
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydicom import dcmread

from dicom_service import aws
from dicom_service.archive import archive_requests
from dicom_service.archive.archive_requests import ArchiveRequests
from dicom_service.archive.build import Builder, BuilderParts
from dicom_service.archive.checkpoint import Checkpoints
from dicom_service.archive.table import LIFETIME, QUEUED, READY, SILENCE
from dicom_service.aws.sqs_worker import Done
from dicom_service.errors import Conflict, NotFound
from dicom_service.exams.patient_scope import Bearer, PatientScope, patient_label
from dicom_service.otp.guard import ExamGuard
from dicom_service.patient import Patient
from tests.support.archives import CACHE, STUDY, World, file_of, slices
from tests.support.audit import hasher

CODE = "7N42SGRQE0K3W9XH"


class Asking:
    """The routes of archives for staff and for a recipient, in front of a PACS that names one patient."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.patient = "P-1"
        self.requests = ArchiveRequests(world.client, world.table(), CACHE, world.queue_url, hasher)
        found = world.pacs.search_for_studies

        def search(filters: Any, **_: Any) -> Any:
            rows = found(filters).datasets
            return SimpleNamespace(
                datasets=[{**row, "00100020": {"Value": [self.patient]}} for row in rows], more=False
            )

        cast(Any, world.pacs).search_for_studies = search

    def scope(self, patient: str = "P-1") -> PatientScope:
        bearer = Bearer(CODE, "hash", STUDY, hasher().hash(Patient.of(patient)), int(time.time()))
        return PatientScope(bearer, lambda: ExamGuard(cast(Any, None), hasher()))

    def ask(self, scope: PatientScope) -> str:
        """Ask, and make what was queued; return the build."""
        archive = self.requests.ask(STUDY, scope, CODE)
        if archive.state == QUEUED:
            aws.dynamodb().put_item(TableName="Otps", Item=aws.to_item({"otpId": CODE, "state": "ACTIVE"}))
            parts = BuilderParts(
                client=self.world.client,
                table=self.world.table(),
                checkpoints=Checkpoints(CACHE),
                otps_table="Otps",
                label_of=lambda patient: patient_label(patient, hasher()),
                queue_url=self.world.queue_url,
            )
            message = {"StudyInstanceUID": STUDY, "build": archive.build}
            assert Builder(parts).build(message, 1, 900) == Done()
        return archive.build


@pytest.fixture
def asking(world: World) -> Asking:
    return Asking(world)


def with_issuer(content: bytes, issuer: str) -> bytes:
    dataset = deepcopy(dcmread(io.BytesIO(content)))
    dataset.IssuerOfPatientID = issuer
    return file_of(dataset)


def test_files_that_name_the_issuer_unevenly_are_one_patients(asking: Asking) -> None:
    one, other, third = slices(3)
    asking.world.pacs.add(one, with_issuer(other, "HOSPITAL"), third)
    build = asking.ask(asking.scope())
    assert asking.requests.find(STUDY, asking.scope()).state == READY
    # AND nothing is built anew, for the recipient or for staff
    assert asking.ask(asking.scope()) == asking.ask(PatientScope()) == build


def test_issuers_that_contradict_each_other_are_two_patients(asking: Asking) -> None:
    one, other, third = slices(3)
    asking.world.pacs.add(one, with_issuer(other, "HOSPITAL"), with_issuer(third, "CLINIC"))
    asking.ask(PatientScope())
    with pytest.raises(Conflict):
        asking.requests.find(STUDY, asking.scope())


def test_a_file_that_cannot_be_read_or_names_nobody_parts_nobody(asking: Asking) -> None:
    one, other = slices(2)
    nameless = dcmread(io.BytesIO(other))
    del nameless.PatientID
    asking.world.pacs.add(one)
    values = {"study": STUDY, "series": f"{STUDY}.1", "patient": ""}
    asking.world.pacs.files[f"{STUDY}.1.2"] = {**values, "file": file_of(nameless), "number": 2}
    asking.world.pacs.files[f"{STUDY}.1.3"] = {**values, "file": b"no DICOM", "number": 3}
    asking.ask(asking.scope())
    assert asking.requests.find(STUDY, asking.scope()).state == READY


def test_what_is_not_the_recipients_alone_is_refused_once_built_and_stays_for_staff(asking: Asking) -> None:
    # GIVEN an exam that is one patient's by the PACS, and two patients' by its files
    asking.world.pacs.add(*slices(2), *slices(1, series=2, patient="P-2"))
    build = asking.ask(PatientScope())
    # WHEN the recipient asks THEN it is refused, and nothing is built in place of what staff have
    for asked in (asking.ask, lambda scope: asking.requests.find(STUDY, scope)):
        with pytest.raises(Conflict) as refused:
            asked(asking.scope())
        assert refused.value.code == "PATIENT_MISMATCH"
    assert asking.requests.find(STUDY, PatientScope()).build == build


def test_a_correction_in_the_pacs_makes_another_whoever_asks(asking: Asking) -> None:
    asking.world.pacs.add(*slices(2))
    before = asking.ask(PatientScope())
    # WHEN the exam is corrected to be another patient's THEN the ZIP of before is nobody's of the new patient
    asking.patient = "P-2"
    asking.world.pacs.add(*slices(2, patient="P-2"))
    with pytest.raises(NotFound):
        asking.requests.find(STUDY, asking.scope("P-2"))
    # AND the next request makes another
    after = asking.ask(PatientScope())
    assert after != before
    assert asking.requests.find(STUDY, asking.scope("P-2")).build == after


def test_a_build_that_nobody_took_is_queued_again_once_a_minute_and_not_beside_its_work(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_requests, "_DELAY", 0)
    world = asking.world
    world.pacs.add(*slices(2))

    def queued_by_asking(times: int = 3) -> list[dict[str, str]]:
        for _ in range(times):
            build = asking.requests.ask(STUDY, asking.scope(), CODE).build
        messages: list[dict[str, str]] = [json.loads(message) for message in world.queued()]
        assert all((message["StudyInstanceUID"], message["build"]) == (STUDY, build) for message in messages)
        return messages

    # GIVEN a build whose message waits, and callers who ask again and again
    found = []
    for _ in range(3):
        found += queued_by_asking()
        world.now += 61
    # THEN there is one message for each minute, and each can be told from the others
    assert len({message["ticket"] for message in found}) == len(found) == 3

    # AND none while it is worked on
    assert world.table().claim(STUDY, found[0]["build"], "owner")
    world.now += 61
    assert queued_by_asking() == []


@pytest.mark.parametrize("taken", [False, True])
def test_a_build_that_is_not_heard_of_any_more_has_failed_for_who_waits_and_is_begun_anew(
    asking: Asking, taken: bool
) -> None:
    # GIVEN a build that nobody will go on with: its message is lost
    world = asking.world
    world.pacs.add(*slices(2))
    lost = asking.requests.ask(STUDY, asking.scope(), CODE).build
    if taken:
        assert world.table().claim(STUDY, lost, "owner")
    world.now += SILENCE - 1
    assert asking.requests.find(STUDY, asking.scope()).state == ("building" if taken else QUEUED)

    # WHEN it was silent for an hour THEN who waits for it is told
    world.now += 1
    found = asking.requests.find(STUDY, asking.scope())
    assert (found.state, found.reason) == ("failed", "ARCHIVE_STALLED")
    # AND the next request makes another
    assert asking.ask(asking.scope()) != lost
    assert asking.requests.find(STUDY, asking.scope()).state == READY


def test_a_build_that_nobody_takes_has_failed_after_an_hour_however_often_it_is_asked_for(asking: Asking) -> None:
    # GIVEN builders that are broken, and a caller who asks every other minute
    world = asking.world
    world.pacs.add(*slices(2))
    waiting = asking.requests.ask(STUDY, asking.scope(), CODE).build
    for _ in range(SILENCE // 120 - 1):
        world.now += 120
        assert asking.requests.ask(STUDY, asking.scope(), CODE).build == waiting
    assert asking.requests.find(STUDY, asking.scope()).state == QUEUED

    world.now += 120
    found = asking.requests.find(STUDY, asking.scope())
    assert (found.state, found.reason) == ("failed", "ARCHIVE_STALLED")
    # AND the next request makes another
    assert asking.ask(asking.scope()) != waiting
    assert asking.requests.find(STUDY, asking.scope()).state == READY


def test_a_zip_that_has_expired_is_gone_and_built_anew_for_who_asks(asking: Asking) -> None:
    world = asking.world
    world.pacs.add(*slices(2))
    before = asking.ask(asking.scope())
    world.now += LIFETIME - 1
    assert asking.ask(asking.scope()) == before
    assert asking.requests.find(STUDY, asking.scope()).build == before

    world.now += 1
    with pytest.raises(NotFound) as gone:
        asking.requests.find(STUDY, asking.scope())
    assert gone.value.code == "NO_SUCH_ARCHIVE"
    after = asking.ask(asking.scope())
    assert after != before
    assert asking.requests.find(STUDY, asking.scope()).build == after
