"""Staged objects reach the PACS, once, and each is told about."""

import io
import json
import zipfile
from collections.abc import Sequence

import pytest

from dicomweb.client import StorePart
from dicomweb.errors import PacsBusy, PacsFault, PacsUnreachable, RequestRejected
from tests.support.metrics import written
from tests.support.upload_files import BAD, ROOT, deflated, dicom, dicomdir, uid, zipped
from tests.support.uploads import World, filed


def test_files_of_an_upload_are_stored_counted_and_cleared_away(world: World) -> None:
    # GIVEN an upload of 30 instances
    upload_id = world.open([dicom(number) for number in range(30)])

    # WHEN their events are delivered
    again = world.deliver(world.events("uploads/"))

    # THEN all are stored with few requests, and the upload is complete
    assert again == []
    assert sorted(world.pacs.stored) == sorted(uid(number) for number in range(30)) == world.registered()
    assert len(world.pacs.requests) <= 3
    progress = world.progress(upload_id)
    assert progress["state"] == "completed"
    assert progress["instances"] == 30
    assert progress["studies"] == [{"StudyInstanceUID": f"{ROOT}.1", "instances": 30}]
    assert progress["counts"] == {"stored": 30}
    assert world.keys("uploads/") == []


def test_what_the_pacs_does_with_files_is_measured(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.open([dicom(1), b"no DICOM"])
    world.deliver(world.events("uploads/"))
    counted = written(capsys.readouterr().out)
    assert (counted["FilesStored"], counted["FilesRejected"], counted["PacsUnreachable"]) == (1, 1, 0)
    assert "PacsStoreSeconds" in counted
    # AND that it is down shows when nobody but the ingest asks it
    world.pacs.dead = True
    world.put("drop/later", dicom(2))
    world.deliver(world.events("drop/"))
    assert written(capsys.readouterr().out)["PacsUnreachable"] >= 1


def test_a_dropped_file_gets_a_report(world: World) -> None:
    world.put("drop/ward 3/ä+%20.dcm", dicom())

    assert world.deliver(world.events("drop/")) == []

    report = world.report("drop/ward 3/ä+%20.dcm")
    assert (report["state"], report["sopInstanceUID"]) == ("stored", uid(1))
    assert world.keys() == [f"reports/{filed('drop/ward 3/ä+%20.dcm')}.json"]
    assert world.registered() == [uid(1)]


@pytest.mark.parametrize("name", list(BAD))
def test_what_is_no_instance_is_refused_with_its_reason(world: World, name: str) -> None:
    # GIVEN a bad file among good ones, in an upload, and in the drop folder
    reason, content = BAD[name]
    upload_id = world.open([dicom(1), content, dicom(2)])
    world.put("drop/bad", content)

    # WHEN they are delivered
    again = world.deliver(world.events(""), max_inflated=1_000_000)

    # THEN the good ones are stored, and the bad one is told, reported, and in quarantine with its reason
    assert again == []
    assert sorted(world.pacs.stored) == [uid(1), uid(2)]
    file = world.progress(upload_id)["files"][1]
    assert (file["state"], file["reason"]) == ("rejected", reason)
    assert world.report("drop/bad")["reason"] == reason
    for key in (f"quarantine/uploads/{upload_id}/0002", f"quarantine/{filed('drop/bad')}"):
        assert world.s3.head_object(Bucket="staging", Key=key)["Metadata"]["reason"] == reason
    assert world.keys("uploads/") == world.keys("drop/") == []
    assert [event["detail"]["reason"] for event in world.told()] == [reason, reason]
    assert world.progress(upload_id)["state"] == "completed"


def test_the_preamble_does_not_reach_the_pacs(world: World) -> None:
    world.open([dicom(1, preamble=b"MZ" + b"\x90" * 126)])

    world.deliver(world.events("uploads/"))

    assert world.pacs.stored[uid(1)] == dicom(1)


def test_a_deflated_file_is_sent_inflated(world: World) -> None:
    # GIVEN a deflated instance, one larger than the first block that is read, and one that is not deflated
    world.open([deflated(1), deflated(2, pixels=3_000_000), dicom(3)])

    world.deliver(world.events("uploads/"))

    # THEN what is stored is what was deflated, as Explicit VR Little Endian
    assert world.pacs.stored[uid(1)] == dicom(1)
    assert world.pacs.stored[uid(2)] == dicom(2, pixels=3_000_000)


def test_a_zip_from_a_cd(world: World) -> None:
    # GIVEN a study on a CD: DICOMDIR, folders, a viewer, a ZIP within, a damaged instance, an entry named like a path
    inner = zipped({"a.dcm": dicom(3), "deeper.zip": zipped({"b.dcm": dicom(4)})}, method=zipfile.ZIP_STORED)
    content = zipped(
        {
            "DICOMDIR": dicomdir(),
            "DICOM/IM1": dicom(1),
            "../../etc/passwd": dicom(2),
            "VIEWER.EXE": b"MZ" * 5000,
            "more.zip": inner,
            "DICOM/BAD": dicom(5, pixels=4000)[:-10],
            "LARGE": dicom(6, pixels=10_000_000),
            "EMPTY": b"",
        }
    )
    upload_id = world.open([content])
    world.put("drop/cd.zip", content)

    # WHEN it is delivered
    assert world.deliver(world.events("")) == []

    # THEN the instances are stored, and every entry is told
    assert sorted(world.pacs.stored) == [uid(1), uid(2), uid(3), uid(6)]
    file = world.progress(upload_id)["files"][0]
    assert (file["state"], file["reason"], file["instances"]) == ("partly-stored", "PARTLY_STORED", 4)
    assert file["entries"] == {"stored": 4, "rejected": 2, "skipped": 3}
    assert file["reasons"] == {"DICOMDIR": 1, "NO_DICM": 1, "EMPTY": 1, "TRUNCATED": 1, "ZIP_NESTED": 1}
    assert {entry["name"] for entry in file["problems"]} == {"DICOM/BAD", "more.zip/deeper.zip"}
    results = {entry["name"]: entry.get("reason", entry["state"]) for entry in world.report("drop/cd.zip")["results"]}
    assert results["../../etc/passwd"] == "stored"
    assert len(results) == 9
    assert world.keys("quarantine/drop/") == [f"quarantine/{filed('drop/cd.zip')}"]


def test_two_copies_of_one_instance_count_once(world: World) -> None:
    upload_id = world.open([dicom(1), dicom(1), zipped({"a": dicom(1), "b": dicom(1)}), dicom(2)])

    assert world.deliver(world.events("uploads/")) == []

    progress = world.progress(upload_id)
    assert progress["instances"] == 2 == world.counted()
    assert progress["counts"] == {"stored": 4}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0xA900, "PACS_SOP_CLASS_MISMATCH"),
        (0xC000, "PACS_CANNOT_UNDERSTAND"),
        (0x0122, "PACS_SOP_CLASS_NOT_SUPPORTED"),
        (0xC122, "PACS_NOT_AUTHORISED"),
        (0x0124, "PACS_NOT_AUTHORISED"),
    ],
)
def test_what_the_pacs_refuses_is_named(world: World, code: int, reason: str) -> None:
    # GIVEN a PACS that refuses one of three, alone and within a ZIP
    world.pacs.refuse[uid(2)] = code
    upload_id = world.open([dicom(1), dicom(2), dicom(3), zipped({"x": dicom(2), "y": dicom(3)})])

    assert world.deliver(world.events("uploads/")) == []

    files = world.progress(upload_id)["files"]
    assert [file["state"] for file in files] == ["stored", "rejected", "stored", "partly-stored"]
    assert (files[1]["reason"], files[1]["failureReason"]) == (reason, f"{code:04X}")
    assert files[3]["problems"][0]["reason"] == reason


def test_a_full_disk_is_waited_for(world: World) -> None:
    # GIVEN a PACS whose disk is full
    world.pacs.refuse[uid(1)] = 0xA700
    upload_id = world.open([dicom(1), dicom(2)])

    # WHEN it is tried for a day
    left = world.deliver(world.events("uploads/"))
    for attempt in range(2, 80, 7):
        left = world.deliver(left, attempts=attempt)

    # THEN the file waits, in the bucket and as told, and is stored once there is room
    assert len(left) == 1
    assert [file["state"] for file in world.progress(upload_id)["files"]] == ["received", "stored"]
    assert len(world.keys("uploads/")) == 1
    world.pacs.refuse.clear()
    assert world.deliver(left) == []
    assert world.progress(upload_id)["state"] == "completed"


def test_a_file_that_breaks_its_batch_is_found_and_the_others_go_on(world: World) -> None:
    # GIVEN a PACS that hangs up when it reads one of the files
    def hang_up(parts: Sequence[StorePart]) -> None:
        if any(part.sop_instance_uid == uid(3) for part in parts):
            raise PacsUnreachable("reset")

    world.pacs.before = hang_up
    upload_id = world.open([dicom(number) for number in range(1, 6)])

    # WHEN the batch is delivered, and what failed once more
    left = world.deliver(world.deliver(world.events("uploads/")))

    # THEN the others are stored
    assert len(left) == 1
    assert world.progress(upload_id)["counts"] == {"stored": 4, "received": 1}


def test_a_batch_that_is_refused_is_sent_one_by_one(world: World) -> None:
    def refuse_batches(parts: Sequence[StorePart]) -> None:
        if len(parts) > 1:
            raise RequestRejected("too long", status=413)

    world.pacs.before = refuse_batches
    upload_id = world.open([dicom(number) for number in range(1, 6)])

    assert world.deliver(world.events("uploads/")) == []

    assert world.progress(upload_id)["counts"] == {"stored": 5}
    assert world.pacs.requests == [5, 1, 1, 1, 1, 1]


def test_a_busy_pacs_is_left_alone(world: World) -> None:
    # GIVEN a PACS that asks to be called later
    def busy(parts: Sequence[StorePart]) -> None:
        raise PacsBusy("429", retry_after=40)

    world.pacs.before = busy
    upload_id = world.open([dicom(number, study=f"{ROOT}.{number}") for number in range(12)])

    left = world.deliver(world.events("uploads/"))

    # THEN it is not asked for each file, and all of them wait
    assert len(left) == 12
    assert len(world.pacs.requests) <= world.ingest_settings.connections
    assert world.progress(upload_id)["counts"] == {"received": 12}


def test_an_object_deleted_before_it_is_read_is_told(world: World) -> None:
    # GIVEN two objects that somebody deletes after their events were sent
    upload_id = world.open([dicom(1), dicom(2)])
    world.put("drop/gone.dcm", dicom(3))
    bodies = world.events("")
    for entry in world.s3.list_object_versions(Bucket="staging")["Versions"]:
        if entry["Key"].endswith(("0002", "gone.dcm")):
            world.s3.delete_object(Bucket="staging", Key=entry["Key"], VersionId=entry["VersionId"])

    assert world.deliver(bodies) == []

    files = world.progress(upload_id)["files"]
    assert [file.get("reason") for file in files] == [None, "OBJECT_MISSING"]
    assert world.report("drop/gone.dcm")["reason"] == "OBJECT_MISSING"


def test_a_key_written_twice_keeps_both_files(world: World) -> None:
    # GIVEN one drop key written twice with two instances, whose events name no version (as on the local stack)
    world.put("drop/a.dcm", dicom(1))
    world.put("drop/a.dcm", dicom(2))
    bodies = world.events("drop/", versions=False)

    # WHEN the newer is ingested first, then the older, then both again
    for body in [*bodies, *bodies]:
        assert world.deliver([body]) == []

    # THEN both are stored
    assert sorted(world.pacs.stored) == [uid(1), uid(2)] == world.registered()
    assert world.keys("drop/") == []


def test_a_second_copy_under_the_key_of_an_upload_counts_for_nothing(world: World) -> None:
    upload_id = world.open([dicom(1), dicom(2)])
    world.deliver(world.events("uploads/"))
    world.put(f"uploads/{upload_id}/0001", dicom(7))

    assert world.deliver(world.events("uploads/")) == []

    assert sorted(world.pacs.stored) == [uid(1), uid(2)]
    assert world.progress(upload_id)["instances"] == 2
    assert world.keys("uploads/") == []


def test_what_no_upload_announced_is_put_into_quarantine(world: World) -> None:
    key = f"uploads/{'0' * 32}/0001"
    world.put(key, dicom(1))

    assert world.deliver(world.events("uploads/")) == []

    assert world.pacs.stored == {}
    assert world.keys() == [f"quarantine/{key}"]


def test_a_message_that_is_no_event_does_not_stop_the_others(world: World) -> None:
    upload_id = world.open([dicom(1)])

    again = world.deliver(["{}", "not json", *world.events("uploads/")])

    assert again == ["{}", "not json"]
    assert world.progress(upload_id)["state"] == "completed"


def test_the_announced_digest_is_checked(world: World) -> None:
    import hashlib

    from dicom_service.uploads.upload_service import Announced

    good, bad = hashlib.sha256(dicom(1)).hexdigest(), hashlib.sha256(b"other").hexdigest()
    files = [Announced(name, len(dicom(1)), digest) for name, digest in (("a", good), ("b", bad))]
    upload_id = world.uploads().open(files, "")["uploadId"]
    for number in (1, 2):
        world.put(f"uploads/{upload_id}/000{number}", dicom(1))

    world.deliver(world.events("uploads/"))

    assert [file.get("reason") for file in world.progress(upload_id)["files"]] == [None, "CHECKSUM_MISMATCH"]


def test_no_patient_appears_in_logs_or_events(world: World, log: io.StringIO) -> None:
    # GIVEN patients in files that are stored, refused and damaged, in a key, in a message that is none
    world.pacs.refuse[uid(1)] = 0xA900
    world.open([dicom(1), dicom(2), dicom(3)[:-5]])
    world.put("drop/CANARY.dcm", dicom(4)[:-5])

    # and in what a PACS that fails says
    def fail(parts: Sequence[StorePart]) -> None:
        raise PacsFault("no room for CANARY^PATIENT")

    world.pacs.before = fail
    left = world.deliver([*world.events(""), "CANARY^PATIENT"])
    world.pacs.before = lambda parts: None

    world.deliver(left)

    # THEN the events and the log are there, and name none
    assert len(world.told()) == 3
    assert "CANARY" not in str(world.told())
    logged = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {entry["message"] for entry in logged} == {"message is not an event", "store failed"}
    assert "CANARY" not in log.getvalue()
