"""Webhooks: signed as the standard says, never to a private address, tried for a day, gone means gone."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import standardwebhooks

from dicom_service import aws
from dicom_service.aws.sqs_worker import DeadLetter, Done, Retry
from dicom_service.errors import SettingsError, Unavailable
from dicom_service.notifications.addresses import Target
from dicom_service.notifications.endpoints import Endpoints
from dicom_service.notifications.errors import DeliveryFailed, UnsafeAddress
from dicom_service.notifications.signing import endpoint_secrets
from dicom_service.notifications.webhooks import (
    RETRY_DELAYS,
    Answer,
    Deliverer,
    FanOutSettings,
    WebhookSettings,
    fan_out,
)
from tests.support.cloud import queue
from tests.support.notifications import EVENTS, drain

pytestmark = pytest.mark.usefixtures("cloud")

URL = "https://receiver.example/hook?a=1"
KEYS = {"current": "k" * 40}
MESSAGE = {
    "url": URL,
    "body": {"type": "Exam Uploaded", "timestamp": "2026-01-01T00:00:00Z", "data": {"eventId": "e1", "sequence": 7}},
}


class Endpoint:
    """The other end: records the posts, returns the given answers."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.posts: list[tuple[Target, str, bytes, dict[str, str]]] = []

    def __call__(self, target: Target, address: str, payload: bytes, headers: Mapping[str, str]) -> Answer:
        self.posts.append((target, address, payload, dict(headers)))
        answer = self.answers.pop(0) if self.answers else Answer(204, 0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def deliverer(endpoint: Endpoint, *, keys: Mapping[str, Any] = KEYS, now: float = 1_700_000_000.0) -> Deliverer:
    settings = WebhookSettings("q", "dead", EVENTS, "arn", urls=(URL,))
    return Deliverer(settings, keys=lambda: keys, post=endpoint, look_up=lambda _: "93.184.216.34", clock=lambda: now)


def verify(secret: str, post: tuple[Target, str, bytes, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Any:
    import datetime

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.fromtimestamp(1_700_000_000, tz)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Frozen)
    return standardwebhooks.Webhook(secret).verify(post[2], post[3])


def test_a_delivery_verifies_with_the_standards_own_library(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint()
    assert deliverer(endpoint).deliver(MESSAGE, 1) == Done()
    (post,) = endpoint.posts
    assert verify(endpoint_secrets(KEYS, URL)[0], post, monkeypatch) == MESSAGE["body"]
    assert post[3]["webhook-id"] == "e1"
    assert len(post[2]) < 20_000
    # AND another endpoint's secret, or one changed byte, does not
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(endpoint_secrets(KEYS, URL + "2")[0], post, monkeypatch)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(endpoint_secrets(KEYS, URL)[0], (post[0], post[1], post[2] + b" ", post[3]), monkeypatch)


def test_both_secrets_verify_while_rotating(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint()
    keys = {"current": "n" * 40, "previous": KEYS["current"]}
    deliverer(endpoint, keys=keys).deliver(MESSAGE, 1)
    for key in ("n" * 40, KEYS["current"]):
        assert verify(endpoint_secrets({"current": key}, URL)[0], endpoint.posts[0], monkeypatch)


def test_a_retry_has_the_same_id_and_a_fresh_timestamp() -> None:
    endpoint = Endpoint(Answer(500, 0))
    deliverer(endpoint).deliver(MESSAGE, 1)
    deliverer(endpoint, now=1_700_000_030.0).deliver(MESSAGE, 2)
    first, second = (post[3] for post in endpoint.posts)
    assert first["webhook-id"] == second["webhook-id"]
    assert (first["webhook-timestamp"], second["webhook-timestamp"]) == ("1700000000", "1700000030")


@pytest.mark.parametrize(
    "failure",
    [
        Answer(500, 0),
        Answer(302, 0),
        Answer(404, 0),
        DeliveryFailed("UNREACHABLE"),
        UnsafeAddress("ADDRESS_NOT_PUBLIC"),
    ],
)
def test_failures_are_retried_with_growing_delays_for_a_day_and_then_dead_letters(failure: Any) -> None:
    endpoint = Endpoint(*[failure] * 20)
    outcomes = [deliverer(endpoint).deliver(MESSAGE, attempt) for attempt in range(1, len(RETRY_DELAYS) + 2)]
    waits = [outcome.seconds for outcome in outcomes[:-1] if isinstance(outcome, Retry) and outcome.seconds]
    assert len(waits) == len(RETRY_DELAYS)
    assert all(0.8 * delay <= wait <= delay for wait, delay in zip(waits, RETRY_DELAYS, strict=True))
    assert list(RETRY_DELAYS) == sorted(RETRY_DELAYS)
    assert 23 * 3600 < sum(RETRY_DELAYS) <= 24 * 3600
    assert max(RETRY_DELAYS) < 12 * 3600
    assert isinstance(outcomes[-1], DeadLetter)


def test_retry_after_is_heeded() -> None:
    outcome = deliverer(Endpoint(Answer(429, 600))).deliver(MESSAGE, 1)
    assert outcome == Retry(600)


def test_gone_switches_the_url_off_until_it_is_switched_on() -> None:
    endpoint = Endpoint(Answer(410, 0))
    assert deliverer(endpoint).deliver(MESSAGE, 1) == Done()
    assert deliverer(endpoint).deliver(MESSAGE, 1) == Done()
    assert len(endpoint.posts) == 1
    assert Endpoints(EVENTS).read(URL).is_off
    assert not Endpoints(EVENTS).read(URL + "2").is_off


def test_a_url_that_is_no_longer_configured_is_left_alone() -> None:
    endpoint = Endpoint()
    assert deliverer(endpoint).deliver({**MESSAGE, "url": "https://old.example/"}, 1) == Done()
    assert endpoint.posts == []


def test_a_slow_url_is_spared_for_a_minute_but_not_in_its_late_attempts() -> None:
    endpoint = Endpoint(DeliveryFailed("TIMEOUT"), DeliveryFailed("TIMEOUT"))
    assert isinstance(deliverer(endpoint).deliver(MESSAGE, 1), Retry)
    # Each worker is a process of its own.
    assert isinstance(deliverer(endpoint).deliver(MESSAGE, 4), Retry)
    assert len(endpoint.posts) == 1
    deliverer(endpoint).deliver(MESSAGE, 5)
    assert len(endpoint.posts) == 2


def test_without_a_key_nothing_is_sent() -> None:
    endpoint = Endpoint()
    with pytest.raises(SettingsError):
        deliverer(endpoint, keys={}).deliver(MESSAGE, 1)
    assert endpoint.posts == []


def test_fan_out_leaves_one_message_for_each_url() -> None:
    urls = tuple(f"https://receiver{number}.example/" for number in range(12))
    settings = FanOutSettings(queue("webhooks"), "", "", urls=urls)
    event = {"detail-type": "Exam Uploaded", "time": "2026-01-01T00:00:00Z", "detail": {"eventId": "e1"}}
    fan_out(settings, event)
    messages = [json.loads(message["Body"]) for message in drain(settings.queue_url)]
    assert sorted(message["url"] for message in messages) == sorted(urls)
    assert {message["body"]["data"]["eventId"] for message in messages} == {"e1"}
    assert {message["body"]["type"] for message in messages} == {"Exam Uploaded"}


def test_fan_out_that_the_queue_rejects_in_part_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws.sqs(), "send_message_batch", lambda **_: {"Failed": [{"Id": "1"}]})
    event = {"detail-type": "Exam Uploaded", "time": "t", "detail": {"eventId": "e1"}}
    with pytest.raises(Unavailable):
        fan_out(FanOutSettings("q", "", "", urls=(URL,)), event)
