"""Opening, finishing, watching and abandoning uploads, through the functions and their sample events."""

import base64
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_service.uploads.settings import LARGEST_FILE, PART_SIZE, SINGLE_POST_LIMIT
from tests.support.dicom_files import CT
from tests.support.pacs import FakePacs, Handler, Received, dicom_json
from tests.support.upload_files import dicom, uid, zipped
from tests.support.uploads import BUCKET, World

EVENTS = Path(__file__).parents[3] / "events"
Call = Callable[..., tuple[int, Any]]


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def load(function: str) -> Any:
    sys.modules.pop(f"functions.{function}.app", None)
    return importlib.import_module(f"functions.{function}.app").lambda_handler


@pytest.fixture
def call(world: World, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call an HTTP function with its sample event, another body and other path parameters."""
    settings = {
        "UPLOADS_TABLE": "Uploads",
        "STAGING_BUCKET": BUCKET,
        "EXAMS_TABLE": "Exams",
        "INSTANCES_TABLE": "Instances",
        "EXAM_EVENTS_TABLE": "ExamEvents",
        "EXAM_CHECKS_QUEUE_URL": world.exam_settings.checks_queue_url,
        "INGEST_QUEUE_URL": world.queues.staged,
        "ZIP_QUEUE_URL": world.queues.zips,
        "PACS_URL": "http://127.0.0.1:1/dicom-web",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    def call(function: str, body: Any = None, path: str | None = None) -> tuple[int, Any]:
        event = json.loads((EVENTS / f"{function}.json").read_text())
        if body is not None:
            event["body"] = base64.b64encode(json.dumps(body).encode()).decode()
        if path is not None:
            event["path"] = path
        answer = load(function)(event, Context())
        return answer["statusCode"], json.loads(answer["body"]) if answer["body"] else None

    return call


def files(*sizes: int) -> dict[str, Any]:
    return {"files": [{"name": f"f{number}", "size": size} for number, size in enumerate(sizes)]}


def test_an_upload_is_opened_with_one_way_for_each_file(call: Call) -> None:
    status, opened = call("create_upload")

    # THEN the small file has a form for exactly its key and length, the large one a URL for each part
    assert status == 201
    small, large = opened["files"]
    policy = json.loads(base64.b64decode(small["fields"]["policy"]))["conditions"]
    assert {"key": f"uploads/{opened['uploadId']}/0001"} in policy
    assert ["content-length-range", 526336, 526336] in policy
    assert {"Content-Type": "application/octet-stream"} in policy
    assert "AWS4-HMAC-SHA256" in small["fields"]["x-amz-algorithm"]
    parts = large["multipart"]["parts"]
    assert len(parts) == 11
    assert sum(part["size"] for part in parts) == 734003200
    assert all("X-Amz-Expires=3600" in part["url"] and "content-length" in part["url"] for part in parts)
    assert large["multipart"]["completeUrl"].endswith(f"/v1/uploads/{opened['uploadId']}/files/0002/complete")
    assert call("get_upload", path=f"/uploads/{opened['uploadId']}")[1]["counts"] == {"waiting": 2}


def test_a_digest_is_part_of_the_form(call: Call) -> None:
    status, opened = call("create_upload", {"files": [{"name": "a", "size": 1, "sha256": "AB" * 32}]})

    assert status == 201
    expected = base64.b64encode(b"\xab" * 32).decode()
    assert opened["files"][0]["fields"]["x-amz-checksum-sha256"] == expected


@pytest.mark.parametrize(("size", "multipart"), [(SINGLE_POST_LIMIT, False), (SINGLE_POST_LIMIT + 1, True)])
def test_64_mib_is_the_border_between_the_two_ways(call: Call, size: int, multipart: bool) -> None:
    assert ("multipart" in call("create_upload", files(size))[1]["files"][0]) is multipart


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["files"]),
        (files(), ["files"]),
        (files(*[1] * 1001), ["files"]),
        ({"files": [{"name": "", "size": -1}, {"size": "1", "extra": 1}]}, 5),
        ({"files": [{"name": "a\x07b", "size": 1}]}, ["files[0].name"]),
        ({"files": [{"name": "a", "size": True}]}, ["files[0].size"]),
        ({"files": [{"name": "a", "size": 1, "sha256": "xyz"}]}, ["files[0].sha256"]),
        ({"files": [{"name": "a", "size": 1}], "mode": "fast"}, ["mode"]),
        ({"files": [17]}, ["files[0]"]),
    ],
)
def test_a_bad_list_is_refused_with_everything_that_is_wrong(call: Call, body: Any, fields: Any) -> None:
    status, problem = call("create_upload", body)

    assert (status, problem["code"]) == (400, "INVALID_FILES")
    named = [error["field"] for error in problem["errors"]]
    assert len(named) == fields if isinstance(fields, int) else named == fields


@pytest.mark.parametrize(
    ("sizes", "code"),
    [((LARGEST_FILE + 1,), "FILE_TOO_LARGE"), ((LARGEST_FILE,) * 40, "TOO_MANY_PARTS")],
)
def test_more_than_is_taken_is_413(call: Call, sizes: tuple[int, ...], code: str) -> None:
    status, problem = call("create_upload", files(*sizes))

    assert (status, problem["code"]) == (413, code)


def test_the_longest_answer_fits_into_lambda(call: Call) -> None:
    _, opened = call("create_upload", {"files": [{"name": "n" * 300, "size": 1}] * 1000})

    # Credentials of a role add their token, up to 1 kB, once as it is and once within the policy in base64.
    assert len(json.dumps(opened)) + 1000 * 2400 < 6_000_000


def test_a_multipart_file_is_finished_once(world: World, call: Call) -> None:
    # GIVEN a file of two parts that were sent
    content = dicom(1, pixels=SINGLE_POST_LIMIT)
    _, opened = call("create_upload", files(len(content)))
    path = f"/uploads/{opened['uploadId']}"
    file = world.table().get(opened["uploadId"], "0001")
    assert file is not None
    pieces = [content[:PART_SIZE], content[PART_SIZE:]]
    key = f"uploads/{opened['uploadId']}/0001"
    where = {"Bucket": BUCKET, "Key": key, "UploadId": file["s3UploadId"]}
    etags = [world.s3.upload_part(**where, PartNumber=n, Body=p)["ETag"] for n, p in enumerate(pieces, start=1)]
    parts = [{"partNumber": number, "etag": etag} for number, etag in enumerate(etags, start=1)]

    # WHEN it is finished, with the parts in any order, and again because the first answer was lost
    first = call("complete_upload_file", {"parts": parts[::-1]}, f"{path}/files/0001/complete")
    again = call("complete_upload_file", {"parts": parts}, f"{path}/files/0001/complete")

    # THEN it waits for the PACS, and its instance is stored once
    assert first == again == (204, None)
    assert call("get_upload", path=path)[1]["files"][0]["state"] == "received"
    assert world.deliver(world.events("uploads/")) == []
    assert call("get_upload", path=path)[1]["state"] == "completed"
    assert world.pacs.stored[uid(1)] == content


def test_wrong_completions_are_refused(call: Call) -> None:
    _, opened = call("create_upload", files(SINGLE_POST_LIMIT + 1, 5))
    path = f"/uploads/{opened['uploadId']}/files"
    some = {"parts": [{"partNumber": 1, "etag": "x"}]}

    results = {
        "nothing sent": call("complete_upload_file", some, f"{path}/0001/complete"),
        "one POST": call("complete_upload_file", some, f"{path}/0002/complete"),
        "no such file": call("complete_upload_file", some, f"{path}/0003/complete"),
        "no such upload": call("complete_upload_file", some, f"/uploads/{'0' * 32}/files/0001/complete"),
        "not an id": call("complete_upload_file", some, "/uploads/%23upload/files/%23upload/complete"),
        "twice one part": call("complete_upload_file", {"parts": some["parts"] * 2}, f"{path}/0001/complete"),
        "no parts": call("complete_upload_file", {"parts": []}, f"{path}/0001/complete"),
    }

    assert {name: (status, problem["code"]) for name, (status, problem) in results.items()} == {
        "nothing sent": (409, "PARTS_INCOMPLETE"),
        "one POST": (409, "NOT_MULTIPART"),
        "no such file": (404, "NO_SUCH_UPLOAD"),
        "no such upload": (404, "NO_SUCH_UPLOAD"),
        "not an id": (404, "NO_SUCH_UPLOAD"),
        "twice one part": (400, "INVALID_PARTS"),
        "no parts": (400, "INVALID_PARTS"),
    }


@pytest.mark.parametrize("upload_id", ["0" * 32, "unknown", "drop-00", "%23upload"])
def test_an_unknown_upload_is_404(call: Call, upload_id: str) -> None:
    assert call("get_upload", path=f"/uploads/{upload_id}")[0] == 404


def test_an_abandoned_upload_ends_as_expired_and_leaves_nothing_behind(world: World) -> None:
    # GIVEN an upload of which one file came and is stored, one came and waits, one never came, one came in part
    from dicom_service.uploads.upload_service import Announced

    sizes = (len(dicom(1)), len(dicom(2)), 7, SINGLE_POST_LIMIT + 1)
    upload_id = world.uploads().open([Announced(f"f{size}", size, None) for size in sizes], "")["uploadId"]
    world.put(f"uploads/{upload_id}/0001", dicom(1))
    world.deliver(world.events("uploads/"))
    world.put(f"uploads/{upload_id}/0002", dicom(2))
    file = world.table().get(upload_id, "0004")
    assert file is not None
    key = f"uploads/{upload_id}/0004"
    world.s3.upload_part(Bucket=BUCKET, Key=key, UploadId=file["s3UploadId"], PartNumber=1, Body=b"x" * 100)

    # WHEN its time is not over, nothing happens
    world.now += 3600 + 800
    assert world.expiry().run() == 0

    # WHEN it is over, what came stays in play and the rest is told as expired
    world.now += 200
    world.expiry().run()
    assert world.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    states = [(entry["state"], entry.get("reason")) for entry in world.progress(upload_id)["files"]]
    assert states == [("stored", None), ("received", None), ("rejected", "EXPIRED"), ("rejected", "EXPIRED")]

    # WHEN the file that waited is stored, the upload has ended, and its exam is complete
    assert world.deliver(world.events("uploads/")) == []
    assert world.progress(upload_id)["state"] == "expired"
    assert world.registry().study(uid(1)[: -len(".1.1")])["instances"] == 2  # type: ignore[index]
    assert world.expiry().run() == 0
    assert world.table().get(upload_id)["state"] == "expired"  # type: ignore[index]


def test_a_file_that_comes_after_its_upload_expired_is_not_stored_behind_the_callers_back(world: World) -> None:
    from dicom_service.uploads.upload_service import Announced

    upload_id = world.uploads().open([Announced("a", len(dicom(1)), None)], "")["uploadId"]
    world.now += 5000
    world.expiry().run()
    world.put(f"uploads/{upload_id}/0001", dicom(1))

    assert world.deliver(world.events("uploads/")) == []

    assert world.pacs.stored == {}
    assert world.keys() == [f"quarantine/uploads/{upload_id}/0001"]


def ingest_event(world: World, upload_id: str, function: str = "ingest_exam") -> dict[str, Any]:
    """Return the sample event of ingest, which names the first file of an upload instead of its own."""
    event: dict[str, Any] = json.loads((EVENTS / f"{function}.json").read_text())
    body = json.loads(event["Records"][0]["body"])
    (staged,) = map(json.loads, world.events(f"uploads/{upload_id}/0001"))
    body["detail"]["bucket"] = staged["detail"]["bucket"]
    body["detail"]["object"] |= staged["detail"]["object"]
    event["Records"][0]["body"] = json.dumps(body)
    return event


@pytest.mark.usefixtures("call")
@pytest.mark.parametrize("function", ["ingest_exam", "unpack_zip"])
def test_ingest_takes_its_sample_event(world: World, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    upload_id = world.open([dicom(1) if function == "ingest_exam" else zipped({"IM1": dicom(1)})])
    event = ingest_event(world, upload_id, function)
    stored = {"00081150": {"vr": "UI", "Value": [CT]}, "00081155": {"vr": "UI", "Value": [uid(1)]}}
    document = {"00081199": {"vr": "SQ", "Value": [stored]}}

    def pacs_answer(handler: Handler, received: Received) -> None:
        (dicom_json(document) if received.method == "POST" else dicom_json([]))(handler, received)

    with FakePacs(pacs_answer) as pacs:
        monkeypatch.setenv("PACS_URL", pacs.url)
        assert load(function)(event, Context()) == {"batchItemFailures": []}

    (sent,) = [received.body for received in pacs.received if received.method == "POST"]
    assert dicom(1) in sent
    assert world.progress(upload_id)["counts"] == {"stored": 1}


@pytest.mark.usefixtures("call")
def test_ingest_asks_for_its_sample_event_again_when_the_pacs_is_down(world: World) -> None:
    upload_id = world.open([dicom(1)])
    event = ingest_event(world, upload_id)

    failed = load("ingest_exam")(event, Context())

    assert failed == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert world.progress(upload_id)["counts"] == {"received": 1}


@pytest.mark.usefixtures("call")
def test_expiry_takes_its_sample_event(world: World) -> None:
    # GIVEN an upload whose time is over by the function's clock, and one that has just begun
    world.now = time.time() - world.upload_settings.lifetime - world.upload_settings.grace - 60
    over = world.open([dicom(1)])
    world.now = time.time()
    begun = world.open([dicom(2)])

    event = json.loads((EVENTS / "expire_uploads.json").read_text())
    assert load("expire_uploads")(event, Context()) == {"uploads": 1}

    assert [world.progress(upload_id)["state"] for upload_id in (over, begun)] == ["expired", "open"]
