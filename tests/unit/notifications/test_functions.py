"""The functions with their sample events, in process: settings, wiring, shapes of event and answer."""

import importlib
import json
import time
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest

from dicom_service import aws
from dicom_service.exams.completeness_checks import Check
from dicom_service.notifications.announce import Announcer
from dicom_service.notifications.dependencies import announce_settings
from dicom_service.notifications.webhooks import Answer
from dicom_service.outbox import Event, Outbox, OutboxSettings
from tests.support.cloud import queue
from tests.support.notifications import BUS, EVENTS, EXAMS, Pacs, drain

pytestmark = pytest.mark.usefixtures("cloud")

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "schemas/events/v1/exam-uploaded.json").read_text())
URL = "https://receiver.example/hook"


def announcer_of(pacs: Pacs) -> Announcer:
    """Return an announcer without worklist and codes."""
    return Announcer(announce_settings(), pacs, reconcile=lambda *_: None, watch=lambda *_: None)


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a function as Lambda does: anew, with its environment set."""
    keys = boto3.client("secretsmanager").create_secret(Name="keys", SecretString='{"current": "kkkk"}')
    environment = {
        "EXAMS_TABLE": EXAMS,
        "EXAM_EVENTS_TABLE": EVENTS,
        "EVENT_BUS": BUS,
        "QUIET_PERIOD": "60",
        "PACS_URL": "https://pacs.example/dicom-web",
        "CALLBACK_URLS": f"{URL}, https://other.example/",
        "WEBHOOK_KEYS_SECRET_ARN": keys["ARN"],
        "WEBHOOK_RETRY_DELAYS": "",
        "LOCAL_MODE": "false",
        "POLL_DAYS": "2",
    }
    for name in ("EXAM_CHECKS", "DEAD_EXAM_CHECKS", "ANNOUNCED", "DEAD_ANNOUNCED", "WEBHOOKS", "DEAD_WEBHOOKS"):
        environment[f"{name}_QUEUE_URL"] = queue(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def load(name: str) -> Any:
        return importlib.reload(importlib.import_module(f"functions.{name}.app"))

    return load


def test_from_the_outbox_to_the_signed_webhook(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN the event of the sample in the outbox
    record = sample("publish_event")["Records"][0]["dynamodb"]["NewImage"]
    detail, event_id = json.loads(record["detail"]["S"]), record["sequence"]["S"]
    Outbox(OutboxSettings(EVENTS)).write([Event("Exam Uploaded", detail, event_id)])
    # WHEN the stream brings it, a rule hands it on, and it is delivered
    assert functions("publish_event").lambda_handler(sample("publish_event"), None) == {"batchItemFailures": []}
    assert functions("fan_out_webhooks").lambda_handler(sample("fan_out_webhooks"), None) == {"batchItemFailures": []}
    messages = [json.loads(message["Body"]) for message in drain(queue("WEBHOOKS"))]
    assert sorted(message["url"] for message in messages) == ["https://other.example/", URL]
    deliver = functions("deliver_webhook")
    posts: list[Any] = []
    worker = deliver.deliverer()
    monkeypatch.setattr(worker, "_look_up", lambda _: "93.184.216.34")

    def post(*sent: Any) -> Answer:
        posts.append(sent)
        return Answer(200, 0)

    monkeypatch.setattr(worker, "_post", post)
    assert deliver.lambda_handler(sample("deliver_webhook"), None) == {"batchItemFailures": []}
    # THEN the webhook, the feed and the bus say the same, as the schema has it
    listed = json.loads(functions("list_events").lambda_handler(sample("list_events"), None)["body"])
    body = json.loads(posts[0][2])
    assert [entry["data"] for entry in listed["events"]] == [body["data"]]
    assert posts[0][3]["webhook-id"] == event_id
    jsonschema.validate(body["data"], SCHEMA)


def test_the_schema_rejects_names_and_missing_counts() -> None:
    """Negative control: a name, or a missing count, does not pass."""
    data = json.loads(sample("deliver_webhook")["Records"][0]["body"])["body"]["data"]
    for wrong in ({**data, "PatientName": "X"}, {k: v for k, v in data.items() if not k.startswith("Number")}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


def test_announce_exam(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a PACS that has the exam of the sample
    function = functions("announce_exam")
    pacs = Pacs({"1.2.3": {"1.2.3.1": 120}})
    monkeypatch.setattr(function, "announcer", lambda: announcer_of(pacs))
    # WHEN its check comes up THEN one event waits in the outbox
    assert function.lambda_handler(sample("announce_exam"), None) == {"batchItemFailures": []}
    # AND the schedule leaves it to the stream while it is fresh, and publishes it when it is not
    publishing, schedule = functions("publish_event"), {"source": "aws.scheduler", "detail": "{}"}
    assert publishing.lambda_handler(schedule, None) == {"found": 0, "failed": 0}
    monkeypatch.setattr(publishing.publisher(), "_clock", lambda: time.time() + 121)
    assert publishing.lambda_handler(schedule, None) == {"found": 1, "failed": 0}


def test_a_check_that_has_to_wait_and_one_that_is_hopeless(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a PACS that does not know the exam
    function = functions("announce_exam")
    monkeypatch.setattr(function, "announcer", lambda: announcer_of(Pacs()))
    boto3.client("sqs").send_message(QueueUrl=queue("EXAM_CHECKS"), MessageBody='{"x": 1}')
    received = boto3.client("sqs").receive_message(QueueUrl=queue("EXAM_CHECKS"))["Messages"][0]
    event = sample("announce_exam")
    event["Records"][0]["receiptHandle"] = received["ReceiptHandle"]
    # WHEN it is received the first and the eighth time
    first = function.lambda_handler(event, None)
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = "8"
    eighth = function.lambda_handler(event, None)
    # THEN it is retried, and then among the dead letters
    assert first == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert eighth == {"batchItemFailures": []}
    (dead,) = drain(queue("DEAD_EXAM_CHECKS"))
    assert Check.from_message(json.loads(dead["Body"])) == Check("1.2.3", "callback")


@pytest.mark.parametrize(
    ("name", "dead_letters"),
    [
        ("announce_exam", "DEAD_EXAM_CHECKS"),
        ("fan_out_webhooks", "DEAD_ANNOUNCED"),
        ("deliver_webhook", "DEAD_WEBHOOKS"),
    ],
)
def test_each_worker_has_dead_letters_of_its_own(functions: Any, name: str, dead_letters: str) -> None:
    # GIVEN a message that cannot be read
    event = sample(name)
    event["Records"][0]["body"] = f"not JSON, for {name}"
    # WHEN it is received THEN it is among the dead letters of this queue
    assert functions(name).lambda_handler(event, None) == {"batchItemFailures": []}
    assert [message["Body"] for message in drain(queue(dead_letters))] == [f"not JSON, for {name}"]


def test_poll_pacs(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a PACS with three studies: one announced as it is, one that has grown since, one new
    class Recent(Pacs):
        def search_for_studies(self, filters: Any, *, limit: Any, offset: int, includefields: Any) -> Any:
            assert filters["StudyDate"].count("-") == 1
            from tests.support.notifications import Rows

            rows = [
                {"0020000D": {"vr": "UI", "Value": [uid]}, "00201208": {"vr": "IS", "Value": [count]}}
                for uid, count in [("1.1", 5), ("1.2", 6), ("1.3", 7), ("bad uid", 1)]
            ]
            return Rows(rows[offset : offset + 2], offset + 2 < len(rows))

    for uid in ("1.1", "1.2"):
        item = {"StudyInstanceUID": uid, "SOPInstanceUID": "#study", "announcedInstances": 5}
        aws.dynamodb().put_item(TableName=EXAMS, Item=aws.to_item(item))
    monkeypatch.setenv("QUIET_PERIOD", "0")
    function = functions("poll_pacs")
    monkeypatch.setattr(function.poller(), "_pacs", Recent())
    # WHEN it is polled THEN the two that changed have a check with what was seen
    assert function.lambda_handler(sample("poll_pacs"), None) == {"checks": 2}
    left = [Check.from_message(json.loads(message["Body"])) for message in drain(queue("EXAM_CHECKS"))]
    assert sorted(left, key=lambda check: check.study_instance_uid) == [
        Check("1.2", "poll", instances=6),
        Check("1.3", "poll", instances=7),
    ]
