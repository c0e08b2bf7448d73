"""What is erased is in no store any more, and what is somebody else's stays as it was."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dicom_service import aws
from dicom_service.erasure.places import HOLD_NOTHING, KEPT, outputs_used
from dicom_service.erasure.stores import Writer, scan
from dicom_service.erasure.subject import Request
from dicom_service.errors import Unavailable
from dicom_service.notifications.feed import Feed, FeedSettings
from tests.support.erasure import ALICE, BOB, EVERYWHERE, World
from tests.support.faults import Killed
from tests.support.template import OUTPUTS, RESOURCES

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas/events/v1/event-erased.json").read_text())
EXPIRING = {
    name: {
        "ExamsTable": "Exams",
        "ExamEventsTable": "ExamEvents",
        "UploadsTable": "Uploads",
        "AuditTable": "Audit",
    }.get(name, name)
    for name, item in RESOURCES.items()
    if "TimeToLiveSpecification" in item["Properties"]
}
PATIENT, STUDY = Request(patient=ALICE.patient), Request(study=ALICE.study)


def test_erasure_goes_through_every_store_of_the_template() -> None:
    stores = {name for name, item in RESOURCES.items() if item["Type"] in ("AWS::DynamoDB::Table", "AWS::S3::Bucket")}
    assert len(stores) >= 11
    used = {name for name in outputs_used() if name in RESOURCES} - {"PatientKeysSecret"}
    assert stores == used | {*HOLD_NOTHING, *KEPT}
    queues = {name for name, item in RESOURCES.items() if item["Type"] == "AWS::SQS::Queue"}
    assert queues <= set(OUTPUTS), "the receipt counts the messages of each queue"


def test_what_has_no_other_end_expires(world: World) -> None:
    """Each item of a table with a time to live has one, but for the feed's counter; workitems alone have none."""
    world.fill(ALICE)
    seen = 0
    for resource, name in EXPIRING.items():
        attribute = RESOURCES[resource]["Properties"]["TimeToLiveSpecification"]["AttributeName"]
        items = [item for item in scan(name) if item.get("shard") != "COUNTER"]
        seen += len(items)
        assert [item for item in items if not item.get(attribute, 0) > 1_700_000_000] == [], name
    assert seen >= 20
    lasting = {name for name, item in RESOURCES.items() if item["Type"] == "AWS::DynamoDB::Table"} - set(EXPIRING)
    assert lasting == {"WorkitemsTable", *HOLD_NOTHING}


@pytest.mark.parametrize("request_", [PATIENT, STUDY], ids=["patient", "study"])
def test_what_is_erased_is_nowhere_and_the_rest_stays(world: World, request_: Request) -> None:
    # GIVEN two patients with traces in every store
    world.fill(ALICE)
    world.fill(BOB)
    before, of_bob = world.found(ALICE), world.found(BOB)
    assert set(before) == {*EVERYWHERE, "worklist wl/"}
    assert before["Uploads"] >= {ALICE.name, ALICE.study}

    # WHEN one is erased THEN a search finds nothing of the one, and of the other what it had found
    receipt = world.erase(request_)

    assert world.found(ALICE) == {}
    assert world.found(BOB) == of_bob
    assert set(receipt.stores) == {
        *(
            "Exams",
            "ExamEvents",
            "Instances",
            "Workitems",
            "Uploads",
            "Archives",
            "Otps",
            "AccessTokens",
            "OtpSubjects",
        ),
        *("uploads/", "drop/", "quarantine/", "reports/", "instances/", "archives/", "dicomweb/", "thumbnails/"),
        "worklist files",
    }
    assert receipt.studies == 1
    assert receipt.left == dict.fromkeys(receipt.left, 0)
    assert receipt.queues == {"checks": receipt.queues["checks"]}


def test_a_rehearsal_counts_the_same_and_changes_nothing(world: World) -> None:
    world.fill(ALICE)
    before = world.found(ALICE)

    rehearsed = world.erase(PATIENT, rehearsal=True)

    assert world.found(ALICE) == before
    assert world.otp.access_tokens.find(world.codes[ALICE.patient_id]["accessToken"])
    done = world.erase(PATIENT)
    assert rehearsed.stores == done.stores
    assert not done.resumed
    assert world.erase(PATIENT).nothing


def test_a_receipt_names_nobody(world: World) -> None:
    world.fill(ALICE)

    receipt = world.erase(PATIENT)

    for text in (receipt.to_json(), receipt.to_text()):
        assert not any(word in text for word in ALICE.words)
        assert "tester" in text
        assert re.search(r"20\d\d-\d\d-\d\dT", text)
    assert json.loads(receipt.to_json())["stores"]["Exams"]["removed"] >= 3


def test_codes_and_tokens_are_refused_from_the_first_write_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(ALICE)
    token = world.codes[ALICE.patient_id]["accessToken"]
    assert world.otp.access_tokens.find(token)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Writer, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        world.erase(PATIENT)

    assert world.otp.access_tokens.find(token) is None


def test_events_keep_their_places(world: World) -> None:
    world.fill(ALICE)
    world.fill(BOB)
    feed = Feed(FeedSettings(world.places.events))
    before = feed.read(None, 500)
    mine = [event for event in before.notifications if ALICE.study in json.dumps(event.detail)]
    assert len(mine) >= 4

    world.erase(PATIENT)

    after = feed.read(None, 500)
    assert [event.position for event in after.notifications] == list(range(1, len(before.notifications) + 1))
    assert after.next == before.next
    erased = [event for event in after.notifications if event.detail_type == "Event Erased"]
    rejected = [event for event in before.notifications if event.detail_type == "Exam Rejected"]
    assert len(erased) == len(mine) + len(rejected) // 2
    for event in erased:
        jsonschema.validate(event.data(), SCHEMA)
    assert not {event.event_id for event in erased} & {event.event_id for event in before.notifications}


def test_an_erasure_killed_at_any_write_is_finished_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN kills after 1, 2, 3 … writes WHEN it is run again each time THEN nothing is left in the end."""
    world.fill(ALICE)
    world.fill(BOB)
    of_bob = world.found(BOB)
    allowed, killed = 1, 0
    writes = {"PutItem", "UpdateItem", "BatchWriteItem", "DeleteObjects", "DeleteObject", "PutObject"}
    count = 0

    def watch(params: Any, model: Any, **_: Any) -> None:
        nonlocal count
        if model.name in writes:
            count += 1
            if count > allowed:
                raise Killed

    for client in (aws.dynamodb(), aws.s3()):
        client.meta.events.register("before-call", watch)
    while True:
        count = 0
        try:
            receipt = world.erase(PATIENT)
        except Killed:
            killed += 1
            allowed += 1
            continue
        break
    for client in (aws.dynamodb(), aws.s3()):
        client.meta.events.unregister("before-call", watch)

    assert killed >= 8
    assert receipt.resumed
    assert world.found(ALICE) == {}
    assert world.found(BOB) == of_bob
    print(f"killed {killed} times, each time one write later; nothing is left, nothing else is gone")


def test_a_store_that_refuses_is_named(world: World) -> None:
    aws.s3().delete_bucket(Bucket="cache")
    with pytest.raises(Unavailable, match="cache"):
        world.erase(PATIENT)
