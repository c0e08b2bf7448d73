"""A patient with traces in every kind of store is erased from the deployed service, which is then searched whole."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from pydicom.uid import generate_uid

from dicom_service.erasure.places import KEPT
from local.settings import ADMINISTRATOR, REGION, ROOT, STACK_NAME
from tests.support.canary import search
from tests.support.deployed import variables
from tests.support.dicom_files import ct_image, nested, saved
from tests.support.exams import feed
from tests.support.stack import Stack
from tests.support.upload_files import zipped
from tests.support.waiting import wait_for

TEXTS = (
    "AccessionNumber",
    "InstitutionName",
    "OtherPatientIDs",
    "PatientAddress",
    "PatientComments",
    "PatientID",
    "PatientName",
    "ReferringPhysicianName",
    "RequestingPhysician",
    "StudyDescription",
    "StudyID",
)
LARGE = 6 * 1024 * 1024
# Where the search has to find the patient before anything is erased.
EVERYWHERE = {
    *("ExamsTable", "ExamEventsTable", "InstancesTable", "WorkitemsTable", "UploadsTable"),
    *("OtpsTable", "AccessTokensTable", "OtpSubjectsTable", "ArchivesTable"),
    *("StagingBucket quarantine/", "StagingBucket reports/"),
    *("CacheBucket instances/", "CacheBucket thumbnails/", "CacheBucket archives/"),
}


@dataclass(frozen=True)
class Person:
    """A patient, in whose exam every text is one word."""

    word: str = field(default_factory=lambda: f"CANARY{uuid.uuid4().hex[:8]}")
    study: str = field(default_factory=generate_uid)
    series: str = field(default_factory=generate_uid)

    def file(self, *, large: bool = False, deep: int = 0) -> tuple[str, bytes]:
        """Make an instance; return its UID too. Nested `deep` levels it is rejected."""
        texts = dict.fromkeys(TEXTS, self.word)
        image = ct_image(StudyInstanceUID=self.study, SeriesInstanceUID=self.series, **texts)
        if large:
            image.Rows, image.Columns, image.PixelData = 1536, 2048, os.urandom(LARGE)
        return image.SOPInstanceUID, saved(image) + nested(deep)


def instance_path(person: Person, uid: str) -> str:
    return f"/exams/studies/{person.study}/series/{person.series}/instances/{uid}"


def bring_in(stack: Stack, person: Person) -> None:
    """Bring an exam in by every way: a workitem, forms, an upload with rejected files, the drop folder, a report."""
    workitem = {name: person.word for name in ("PatientID", "PatientName", "AccessionNumber", "ReferringPhysicianName")}
    step = {"Station AETitle": "CT1", "Procedure StepDescription": person.word}
    workitem |= {f"Scheduled{name.replace(' ', '')}": value for name, value in step.items()}
    workitem |= {"ScheduledProcedureStepStartDate": "20260131", "ScheduledProcedureStepStartTime": "0815"}
    workitem |= {"StudyInstanceUID": person.study, "Modality": "CT"}
    made = stack.request("POST", "/workitems", json=workitem)
    assert made.status_code == 200, made.text
    uid, small = person.file()
    sent = stack.request("POST", "/exams", files={"file": (f"{person.word}.dcm", small)})
    assert sent.status_code == 200, sent.text
    large_uid, large = person.file(large=True)
    note = f"no DICOM, of {person.word}".encode()
    staged = {f"{person.word}-large.dcm": large, f"{person.word}-deep.dcm": person.file(deep=99)[1], "note.txt": note}
    staged |= {f"{person.word}.zip": zipped({person.word: person.file()[1], f"{person.word}.txt": note})}
    assert upload(stack, staged) == {"stored": 2, "rejected": 2}
    s3 = stack.client("s3")
    for name, content in {"a.dcm": person.file()[1], "deep.dcm": person.file(deep=99)[1]}.items():
        s3.put_object(Bucket=stack.staging_bucket, Key=f"drop/{person.word}/{name}", Body=content)
    wait_for(lambda: "Contents" not in s3.list_objects_v2(Bucket=stack.staging_bucket, Prefix=f"drop/{person.word}/"))
    make_a_zip_of_before(stack, person)
    callbacks = f"/exams/studies/{person.study}/callbacks"
    # The PACS's own report comes some seconds after the last file; it must not come after the erasure.
    wait_for(lambda: [one for one in stack.request("GET", callbacks).json() if in_full(one["fields"], 5)])
    report = {"SourceID": "PACS", "StudyInstanceUID": person.study, "PatientID": person.word}
    told = stack.request("POST", "/new-exam-callback", key=stack.callback_key, json={**report, "Any": person.word})
    assert told.status_code == 204, told.text
    use(stack, person, uid, large_uid)


def make_a_zip_of_before(stack: Stack, person: Person) -> None:
    """Have a ZIP made that the next one who asks does not get: the exam has an instance more by then."""
    path = f"/exams/studies/{person.study}/archive"
    assert stack.request("POST", path).status_code == 202
    wait_for(lambda: stack.request("GET", path, params={"redirect": "false"}).json()["state"] == "ready")
    sent = stack.request("POST", "/exams", files={"file": person.file()[1]})
    assert sent.status_code == 200, sent.text


@contextmanager
def zip_in_the_making(stack: Stack, person: Person) -> Iterator[None]:
    """Ask for a ZIP whose build does not get on: whose it is, no file has said yet."""
    with variables(stack, "BuildArchiveFunction", PACS_URL="http://127.0.0.1:9"):
        asked = stack.request("POST", f"/exams/studies/{person.study}/archive")
        assert (asked.status_code, asked.json()["state"]) == (202, "queued")
        yield


def in_full(fields: Mapping[str, Any], instances: int) -> bool:
    return fields["SourceID"] == "orthanc" and int(fields["NumberOfStudyRelatedInstances"]) == instances


def use(stack: Stack, person: Person, uid: str, large_uid: str) -> None:
    """Share the exam, look at it, fetch a large file of it."""
    wanted = {"studyUID": person.study, "patientID": person.word, "user": person.word, "maxUses": 2}
    issued = stack.request("POST", "/otps", json=wanted).json()
    redeemed = stack.request("POST", "/otps/redeem", key=None, json={"token": issued["token"]})
    assert redeemed.status_code == 200, redeemed.text
    token = redeemed.json()["accessToken"]
    assert stack.request("GET", f"{instance_path(person, uid)}?fileType=image/jpeg", key=token).status_code == 200
    path = f"{instance_path(person, large_uid)}?fileType=application/dicom"
    assert stack.request("GET", path, key=token).status_code == 303
    wait_for(lambda: {"Exam Uploaded", "Exam Rejected", "OTP Redeemed"} <= {event["type"] for event in feed(stack)})
    wait_for(lambda: person.word in json.dumps(feed(stack)))


def begin(stack: Stack, person: Person) -> str:
    """Send one part of a file that nobody finishes, as a function does that is killed while it fetches it."""
    where = {"Bucket": stack.outputs["CacheBucket"], "Key": f"instances/{person.study}/{person.series}/1"}
    upload_id = stack.client("s3").create_multipart_upload(**where)["UploadId"]
    stack.client("s3").upload_part(**where, UploadId=upload_id, PartNumber=1, Body=person.word.encode())
    return str(upload_id)


def begun(stack: Stack) -> set[str]:
    """The multipart uploads of the cache that nobody has finished."""
    listed = stack.client("s3").list_multipart_uploads(Bucket=stack.outputs["CacheBucket"])
    return {entry["UploadId"] for entry in listed.get("Uploads", [])}


def upload(stack: Stack, contents: Mapping[str, bytes]) -> dict[str, int]:
    files = [{"name": name, "size": len(content)} for name, content in contents.items()]
    opened = stack.request("POST", "/uploads", json={"files": files}).json()
    for file, content in zip(opened["files"], contents.values(), strict=True):
        form = requests.post(file["url"], data=file["fields"], files={"file": content}, timeout=60)
        assert form.status_code == 204, form.text
    path = f"/uploads/{opened['uploadId']}"
    wait_for(lambda: stack.request("GET", path).json()["state"] == "completed")
    counts: dict[str, int] = stack.request("GET", path).json()["counts"]
    return counts


def found(stack: Stack, person: Person, *, kept: bool = False) -> dict[str, set[str]]:
    """Search every table and bucket that the stack has, one that is new as well; or what an erasure keeps."""
    pages = stack.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK_NAME)
    resources = [entry for page in pages for entry in page["StackResourceSummaries"]]

    def named(kind: str) -> dict[str, str]:
        return {
            entry["LogicalResourceId"]: entry["PhysicalResourceId"]
            for entry in resources
            if entry["ResourceType"] == kind
        }

    tables, buckets = named("AWS::DynamoDB::Table"), named("AWS::S3::Bucket")
    assert len(tables) >= 9
    assert len(buckets) >= 2
    if kept:
        tables, buckets = {name: table for name, table in tables.items() if name in KEPT}, {}
    tables = {name: table for name, table in tables.items() if kept or name not in KEPT}
    return search(stack.client("dynamodb"), stack.client("s3"), tables, buckets, (person.word, person.study))


def erase(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ADMINISTRATOR, "AWS_DEFAULT_REGION": REGION}
    environment["AWS_ENDPOINT_URL"] = stack.values["AWS_ENDPOINT_URL"]
    command = [sys.executable, "-m", "scripts.erase", "--stack", STACK_NAME, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def delete_in_pacs(stack: Stack, person: Person) -> None:
    login = (stack.pacs.user, stack.pacs.password)
    url = stack.pacs.url.removesuffix("/dicom-web")
    [study] = requests.post(f"{url}/tools/lookup", data=person.study, auth=login, timeout=30).json()
    requests.delete(f"{url}/studies/{study['ID']}", auth=login, timeout=30).raise_for_status()


def test_an_erased_patient_is_in_no_store(stack: Stack, tmp_path: Path) -> None:
    # GIVEN a patient in every kind of store, and another in some
    person, other = Person(), Person()
    bring_in(stack, person)
    sent = stack.request("POST", "/exams", files={"file": other.file()[1]})
    assert sent.status_code == 200, sent.text
    wait_for(lambda: other.word in json.dumps(feed(stack)))
    with zip_in_the_making(stack, person):
        half, others_half = begin(stack, person), begin(stack, other)
        before, of_other = found(stack, person), found(stack, other)
        # Control: without an erasure the search finds the patient everywhere, and a rehearsal erases nothing.
        assert set(before) >= EVERYWHERE, EVERYWHERE - set(before)
        assert set(of_other) >= {"ExamsTable", "ExamEventsTable", "InstancesTable"}
        rehearsed = erase(stack, "--patient", person.word, "--dry-run")
        assert rehearsed.returncode == 0, rehearsed.stderr
        assert set(found(stack, person)) == set(before)
        assert begun(stack) >= {half, others_half}
        positions = [event["data"]["sequence"] for event in feed(stack)]

        # WHEN the exam is deleted in the PACS and the patient is erased
        delete_in_pacs(stack, person)
        receipt_file = tmp_path / "receipt.json"
        done = erase(stack, "--patient", person.word, "--receipt", str(receipt_file))

    # THEN no item and no version of an object has a word of them, the other is as before, and the feed has no gap
    assert done.returncode == 0, done.stdout + done.stderr
    assert found(stack, person) == {}
    assert half not in begun(stack)
    assert others_half in begun(stack)
    # Who saw it stays, and names nobody.
    assert found(stack, person, kept=True) == {"AuditTable": {person.study}}
    assert {kind: words for kind, words in found(stack, other).items() if kind in of_other} == of_other
    assert [event["data"]["sequence"] for event in feed(stack)][: len(positions)] == positions
    receipt = json.loads(receipt_file.read_text())
    assert receipt["studies"] == 1
    for text in (done.stdout, receipt_file.read_text()):
        assert person.word not in text
        assert person.study not in text
    # AND again there is nothing to do
    again = erase(stack, "--patient", person.word, "--receipt", str(receipt_file))
    assert again.returncode == 0, again.stderr
    assert not any(sum(counts.values()) for counts in json.loads(receipt_file.read_text())["stores"].values())
    changed = sum(sum(counts.values()) for counts in receipt["stores"].values())
    print(f"{len(before)} kinds of stores knew the patient, {changed} items and versions erased, now none does")
