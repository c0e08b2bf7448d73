"""CALLBACK_FORMAT=pacs-event: the PACS's own event, signed and retried as the envelope is."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import standardwebhooks

from dicom_service.aws.sqs_worker import Done, Retry
from dicom_service.errors import SettingsError, Unavailable
from dicom_service.notifications.addresses import Target, hosts
from dicom_service.notifications.callback import Callbacks, CallbackSettings
from dicom_service.notifications.signing import endpoint_secrets
from dicom_service.notifications.webhooks import Answer, Deliverer, WebhookSettings
from dicom_service.settings import load
from tests.support.cloud import queue
from tests.support.notifications import EVENTS, EXAMS

pytestmark = pytest.mark.usefixtures("cloud")

URL = "http://receiver.internal/hook"
KEYS = {"current": "k" * 40}
DATA = {
    "version": "1.1",
    "eventType": "CREATED",
    "revision": 1,
    "source": "upload",
    "StudyInstanceUID": "1.2.3",
    "PatientID": "P1",
    "AccessionNumber": "A1",
    "ModalitiesInStudy": ["CT"],
    "NumberOfStudyRelatedSeries": 1,
    "NumberOfStudyRelatedInstances": 120,
    "eventId": "e1",
    "sequence": 7,
}
BODY = {"type": "Exam Uploaded", "timestamp": "2026-01-01T00:00:00Z", "data": DATA}
MESSAGE = {"url": URL, "body": BODY}
REPORT = {
    "SourceID": "PACS1",
    "StudyInstanceUID": "1.2.3",
    "PatientName": "ROSSI^MARIO",
    "StudyTime": None,
    "X": {"y": 1},
}
# Of the reference's documentation.
NAMES = {
    *("SourceID", "AccessionNumber", "StudyInstanceUID", "PatientID", "NumberOfStudyRelatedSeries"),
    *("NumberOfStudyRelatedInstances", "ModalitiesInStudy", "AeTitles", "StationNames", "EventType", "StudyDate"),
    *("StudyTime", "StudyID", "ReferringPhysicianName", "StudyDescription", "PatientName", "PatientBirthDate"),
    "PatientSex",
}


class Receiver:
    """Remembers what was posted to it; fails as often as it should."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.posts: list[tuple[bytes, dict[str, str]]] = []

    def __call__(self, target: Target, address: str, payload: bytes, headers: Mapping[str, str]) -> Answer:
        self.posts.append((payload, dict(headers)))
        return Answer(500 if len(self.posts) <= self.failures else 204, 0)


def deliverer(receiver: Receiver, *, wanted: str = "pacs-event", listed: str = "receiver.internal") -> Deliverer:
    settings = WebhookSettings(
        *("q", "dead", EVENTS, "arn"),
        urls=(URL,),
        format=wanted,
        private_hosts=hosts(listed),
        exams_table=EXAMS,
    )
    return Deliverer(settings, keys=lambda: KEYS, post=receiver, look_up=lambda _: "10.1.2.3")


def report(**fields: Any) -> None:
    Callbacks(CallbackSettings(EXAMS, queue("checks"))).take({**REPORT, **fields})


def test_the_body_is_what_the_pacs_reported_and_verifies() -> None:
    receiver = Receiver()
    report()
    assert deliverer(receiver).deliver(MESSAGE, 1) == Done()
    [(payload, headers)] = receiver.posts
    assert standardwebhooks.Webhook(endpoint_secrets(KEYS, URL)[0]).verify(payload, headers) == REPORT
    assert headers["webhook-id"] == "e1"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(endpoint_secrets(KEYS, URL)[0]).verify(payload + b" ", headers)


def test_the_envelope_is_the_default_and_tells_nothing_of_the_report() -> None:
    receiver = Receiver()
    report()
    deliverer(receiver, wanted=WebhookSettings.format).deliver(MESSAGE, 1)
    assert json.loads(receiver.posts[0][0]) == BODY


def test_an_exam_that_the_pacs_did_not_report_has_the_same_fields() -> None:
    receiver = Receiver()
    report(StudyInstanceUID="1.2.4")
    deliverer(receiver).deliver(MESSAGE, 1)
    body = json.loads(receiver.posts[0][0])
    assert set(body) == NAMES
    assert {name: value for name, value in body.items() if value is not None} == {
        **{name: value for name, value in DATA.items() if name in NAMES},
        "SourceID": "dicom-service",
        "EventType": "CREATED",
    }


def test_what_fails_is_tried_again_under_the_same_id() -> None:
    receiver = Receiver(failures=1)
    report()
    assert isinstance(deliverer(receiver).deliver(MESSAGE, 1), Retry)
    assert deliverer(receiver).deliver(MESSAGE, 2) == Done()
    assert [headers["webhook-id"] for _, headers in receiver.posts] == ["e1", "e1"]
    assert [json.loads(payload) for payload, _ in receiver.posts] == [REPORT, REPORT]


def test_a_table_that_cannot_be_read_sends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise Unavailable("down")

    monkeypatch.setattr("dicom_service.notifications.webhooks.read_callback", down)
    receiver = Receiver()
    with pytest.raises(Unavailable):
        deliverer(receiver).deliver(MESSAGE, 1)
    assert receiver.posts == []


def test_a_receiver_that_is_not_listed_gets_nothing() -> None:
    receiver = Receiver()
    assert isinstance(deliverer(receiver, listed="other.internal").deliver(MESSAGE, 1), Retry)
    assert receiver.posts == []
    # control: listed, it does
    assert deliverer(receiver).deliver(MESSAGE, 1) == Done()
    assert len(receiver.posts) == 1


@pytest.mark.parametrize("wrong", [{"CALLBACK_FORMAT": "xml"}, {"CALLBACK_PRIVATE_HOSTS": "*.internal"}])
def test_settings_that_make_no_sense_are_named(wrong: dict[str, str]) -> None:
    names = ("WEBHOOKS_QUEUE_URL", "DEAD_WEBHOOKS_QUEUE_URL", "EXAM_EVENTS_TABLE", "WEBHOOK_KEYS_SECRET_ARN")
    given = {**dict.fromkeys(names, "x"), **wrong}
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        load(WebhookSettings, given)
