"""Where two patients meet, in one upload, one ZIP or one id, the other loses nothing; what cannot be told is said."""

import json
from dataclasses import replace

import pytest

from dicom_service import aws
from dicom_service.archive.table import ArchivesTable
from dicom_service.erasure.stores import unfinished
from dicom_service.erasure.subject import Request
from dicom_service.outbox import Event
from dicom_service.patient import Patient
from tests.support.erasure import ALICE, BOB, World
from tests.support.upload_files import zipped
from tests.support.uploads import BUCKET

PATIENT = Request(patient=ALICE.patient)
NOTE = b"no DICOM, and nobody's name in it"


def both() -> bytes:
    return zipped({f"{ALICE.name}/1": ALICE.file(1), f"{BOB.name}/1": BOB.file(1)})


def left(world: World, request: Request) -> list[int]:
    """Erase; return how many staged ZIPs, ZIPs that cannot be opened, and unread files stay."""
    return list(world.erase(request).left.values())


def test_of_a_zip_of_two_patients_the_others_results_stay(world: World) -> None:
    # GIVEN an upload and a drop of a ZIP with an exam of each
    upload_id = world.ingest.open([both(), NOTE])
    world.ingest.put("drop/cd.zip", both())
    assert world.ingest.deliver(world.ingest.events("")) == []

    # WHEN one patient is erased
    assert left(world, PATIENT) == [0, 0, 1], "whose the note is cannot be told"

    # THEN progress and reports tell of the other alone
    assert world.found(ALICE) == {}
    progress = world.ingest.progress(upload_id)
    assert progress["studies"] == [{"StudyInstanceUID": BOB.study, "instances": 1}]
    for key in (f"reports/uploads/{upload_id}/0001.json", world.ingest.keys("reports/drop/")[0]):
        report = json.loads(world.ingest.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        assert [entry["name"] for entry in report["results"]] == [f"{BOB.name}/1"]
    assert world.ingest.keys("quarantine/") == [f"quarantine/uploads/{upload_id}/0002"]
    assert world.erase(PATIENT).nothing


def test_a_file_that_nobody_could_read_goes_with_the_others_of_its_upload(world: World) -> None:
    upload_id = world.ingest.open([ALICE.file(1), NOTE])
    world.ingest.open([BOB.file(1), NOTE])
    assert world.ingest.deliver(world.ingest.events("")) == []
    assert len(world.ingest.keys("quarantine/")) == 2

    assert left(world, PATIENT) == [0, 0, 0]

    [kept] = world.ingest.keys("quarantine/")
    assert upload_id not in kept
    assert [file["name"] for file in world.ingest.progress(upload_id)["files"]] == ["(erased)", "(erased)"]


def test_a_staged_zip_that_brings_another_exam_waits_for_the_pacs(world: World) -> None:
    world.ingest.open([both()])
    world.ingest.put("drop/a.dcm", ALICE.file(2))

    assert left(world, PATIENT) == [1, 0, 0]

    assert [key.split("/")[0] for key in world.ingest.keys("")] == ["uploads"]


def test_what_cannot_be_opened_is_counted(world: World) -> None:
    world.ingest.put("quarantine/drop/damaged", both()[:-60])
    world.ingest.put("quarantine/drop/other", BOB.file(1))

    assert left(world, PATIENT) == [0, 1, 0]

    assert world.ingest.keys() == ["quarantine/drop/damaged", "quarantine/drop/other"]


def test_a_word_finds_what_names_no_patient(world: World) -> None:
    world.ingest.put("drop/MUELLER ANNA.txt", NOTE)
    world.ingest.put("quarantine/drop/letter", b"Dear MUELLER ANNA,")
    world.ingest.put("quarantine/drop/other", b"Dear MUELLER HANS,")
    world.ingest.put("drop/gone MUELLER ANNA.txt", b"")
    world.ingest.s3.delete_object(Bucket=BUCKET, Key="drop/gone MUELLER ANNA.txt")

    assert left(world, Request(patient=ALICE.patient, texts=("MUELLER ANNA",))) == [0, 0, 0]

    listed = world.ingest.s3.list_object_versions(Bucket=BUCKET)
    assert [entry["Key"] for entry in listed["Versions"]] == ["quarantine/drop/other"]
    assert "DeleteMarkers" not in listed


def test_an_archive_that_is_being_made_or_has_no_label_is_found_by_the_patient(world: World) -> None:
    # GIVEN a queued archive of each patient, and a ZIP that has lost its row
    archives = ArchivesTable(world.places.archives)
    for person in (ALICE, BOB):
        assert archives.begin(person.study, "ab" * 15, "service", None, world.otp.hasher.hash(person.patient))
    lost = {"Bucket": "cache", "Key": f"archives/{ALICE.study}.7/ab.zip"}
    both_patients = " ".join(world.otp.hasher.hash(person.patient) for person in (ALICE, BOB))
    world.ingest.s3.put_object(**lost, Body=b"zip", Metadata={"patient": both_patients})

    world.erase(PATIENT)

    assert archives.get(ALICE.study) is None
    assert "Contents" not in world.ingest.s3.list_objects_v2(Bucket="cache")
    assert archives.get(BOB.study) is not None


def test_multipart_uploads_that_nobody_finished_go_and_others_stay(world: World) -> None:
    # GIVEN a large file of each patient that is sent by half, and a file that is being fetched into the cache
    begun = {}
    for person in (ALICE, BOB):
        for bucket, key in ((BUCKET, f"drop/{person.patient_id}.dcm"), ("cache", f"instances/{person.study}/1/2")):
            opened = world.ingest.s3.create_multipart_upload(Bucket=bucket, Key=key)
            part = {"Bucket": bucket, "Key": key, "UploadId": opened["UploadId"], "PartNumber": 1}
            world.ingest.s3.upload_part(**part, Body=b"half")
            begun[bucket, person] = (key, opened["UploadId"])
    # WHEN a rehearsal is made THEN they are counted and stay
    request = Request(study=ALICE.study, texts=(ALICE.patient_id,))
    rehearsed = world.erase(request, rehearsal=True)
    assert [len(list(unfinished(bucket))) for bucket in (BUCKET, "cache")] == [2, 2]

    # WHEN the one is erased THEN only the other's are left
    receipt = world.erase(request)

    assert {bucket: list(unfinished(bucket)) for bucket in (BUCKET, "cache")} == {
        BUCKET: [begun[BUCKET, BOB]],
        "cache": [begun["cache", BOB]],
    }
    changed = {store: counts["removed"] for store, counts in receipt.stores.items() if counts["removed"]}
    assert changed == {"uploads/": 1, "instances/": 1}
    assert receipt.stores == rehearsed.stores


@pytest.mark.parametrize(("issuer", "gone"), [("HERE", True), ("", True), ("ELSEWHERE", False)])
def test_the_same_id_of_another_issuer_is_another_patient(world: World, issuer: str, gone: bool) -> None:
    """Codes and cached files carry the hash of id and issuer; what names no issuer counts as the one asked for."""
    owner = replace(ALICE, issuer=issuer)
    issued = world.otp.store.get(world.otp.issue()["otpId"])
    assert issued is not None
    code = replace(issued, otp_id="A" * 16, study_uid=ALICE.study, patient=world.otp.hasher.hash(owner.patient))
    world.otp.store.create(code, Event("OTP Issued", {}))
    world.keep(owner)

    world.erase(Request(patient=Patient.of(ALICE.patient_id, "HERE")))

    assert (world.otp.store.get("A" * 16) is None) == gone
    cached = aws.s3().list_objects_v2(Bucket="cache").get("Contents", [])
    assert len(cached) == (0 if gone else 4)


def test_an_exam_that_only_the_cache_or_quarantine_knows_is_found(world: World) -> None:
    world.keep(ALICE)
    world.ingest.put("quarantine/drop/x", replace(ALICE, study="1.2.3.77").file(1))

    receipt = world.erase(PATIENT)

    assert receipt.studies == 2
    assert world.found(ALICE) == {}
    assert world.ingest.keys() == []
