"""Batches of queue messages: one that breaks something fails for itself, the others are done."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from dicom_service import aws
from dicom_service.aws import sqs_worker
from dicom_service.aws.sqs_worker import (
    UNEXPECTED_TRIES,
    DeadLetter,
    Done,
    Message,
    Outcome,
    Queues,
    Retry,
    process_batch,
)
from tests.support.cloud import queue
from tests.support.lambdas import sample_event
from tests.support.notifications import drain


def no_guard(work: Callable[[], Any]) -> Any:
    return work()


class TestQueue:
    def batch(self, url: str, attempt: int, *bodies: str) -> dict[str, Any]:
        for body in bodies:
            boto3.client("sqs").send_message(QueueUrl=url, MessageBody=body)
        return {
            "Records": [
                {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "body": message["Body"],
                    "attributes": {"ApproximateReceiveCount": str(attempt)},
                }
                for message in drain(url)
            ]
        }

    @pytest.fixture
    def queues(self, cloud: None) -> Queues:
        return Queues(queue("work"), queue("dead"))

    def look(self, seen: list[str]) -> Callable[[Any, int], Outcome]:
        def look(message: Any, attempt: int) -> Outcome:
            if message == "poison":
                raise KeyError("CANARY")
            seen.append(message)
            return Done()

        return look

    def test_the_others_of_a_batch_are_done(self, queues: Queues) -> None:
        seen: list[str] = []
        event = self.batch(queues.url, 1, '"one"', '"poison"', '"two"', "[" * 200_000)
        result = process_batch(event, queues, self.look(seen))
        assert sorted(seen) == ["one", "two"]
        [poison] = [record["messageId"] for record in event["Records"] if record["body"] == '"poison"']
        assert result == {"batchItemFailures": [{"itemIdentifier": poison}]}
        assert [message["Body"][:2] for message in drain(queues.dead_letters_url)] == ["[["]

    def test_after_its_tries_it_is_a_dead_letter_of_its_own(self, queues: Queues) -> None:
        event = self.batch(queues.url, UNEXPECTED_TRIES, '"one"', '"poison"')
        assert process_batch(event, queues, self.look([])) == {"batchItemFailures": []}
        assert [message["Body"] for message in drain(queues.dead_letters_url)] == ['"poison"']

    def test_without_the_guard_it_takes_its_batch_along(self, queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqs_worker, "isolate", no_guard)
        seen: list[str] = []
        with pytest.raises(KeyError):
            process_batch(self.batch(queues.url, 1, '"poison"', '"one"'), queues, self.look(seen))


def test_a_message_that_is_no_json_is_a_dead_letter_and_the_rest_goes_on() -> None:
    # GIVEN a poison message before a good one
    good = sample_event("announce_exam")["Records"][0]
    seen: list[Any] = []
    queues = Queues(queue("q"), queue("dead"))

    # WHEN the batch is worked off
    def look(message: Any, attempt: int) -> DeadLetter:
        seen.append(message)
        return DeadLetter("X")

    answer = process_batch({"Records": [{**good, "body": "{"}, good]}, queues, look)
    assert answer == {"batchItemFailures": []}
    assert len(seen) == 1
    assert len(drain(queues.dead_letters_url)) == 2


def test_a_queue_that_refuses_keeps_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    good = sample_event("announce_exam")["Records"][0]
    for outcome in (Retry(5), DeadLetter("X")):
        answer = process_batch({"Records": [good]}, Queues("http://127.0.0.1/none", "none"), lambda *_, o=outcome: o)
        assert answer["batchItemFailures"]


def test_messages_come_back_when_their_retries_say(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN 24 messages, one of which is left to the queue and one that asks for more than SQS takes
    messages = [Message(f"m{number}", f"r{number}", 1, "{}") for number in range(24)]
    seconds: list[float | None] = [*range(22), None, 10**6]
    changed: list[list[tuple[str, int]]] = []

    def change(QueueUrl: str, Entries: list[dict[str, Any]]) -> None:
        assert QueueUrl == "q"
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        changed.append([(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in Entries])

    monkeypatch.setattr(aws.sqs(), "change_message_visibility_batch", change)
    # WHEN they are delayed
    sqs_worker.delay(dict(zip(messages, map(Retry, seconds), strict=True)), "q")
    # THEN each has its time, ten a request
    assert [len(entries) for entries in changed] == [10, 10, 3]
    assert [entry for entries in changed for entry in entries] == [
        *((f"r{number}", number) for number in range(22)),
        ("r23", sqs_worker.LONGEST_WAIT),
    ]


def test_a_message_that_is_requeued_is_a_new_one() -> None:
    message = Message("m", "r", 7, '{"a": 1}')
    url = queue("q")
    assert sqs_worker.requeue(message, url)
    [sent] = drain(url)
    assert (sent["Body"], sent["Attributes"]["ApproximateReceiveCount"]) == ('{"a": 1}', "1")
    assert not sqs_worker.requeue(message, "http://127.0.0.1/none")


def test_backoff_grows_to_a_quarter_of_an_hour() -> None:
    for attempt, seconds in [(1, 5), (2, 10), (8, 640), (9, 900), (1000, 900)]:
        assert 0.75 * seconds <= sqs_worker.backoff(attempt) <= 1.25 * seconds
