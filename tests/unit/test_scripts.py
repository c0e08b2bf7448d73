"""What operators run by hand."""

import boto3
import pytest

from scripts.redrive import QUEUES, redrive
from tests.support.cloud import cloud, queue
from tests.support.notifications import drain
from tests.support.template import OUTPUTS, RESOURCES


def test_every_dead_letter_queue_can_be_sent_again_with_one_command() -> None:
    policies = {name: item["Properties"].get("RedrivePolicy") for name, item in RESOURCES.items() if _is_queue(item)}
    pairs = {(name, policy["deadLetterTargetArn"].split(".")[0]) for name, policy in policies.items() if policy}
    assert len(pairs) >= 5
    assert set(QUEUES.values()) == pairs
    assert all(output in OUTPUTS for pair in pairs for output in pair)


def _is_queue(item: dict[str, object]) -> bool:
    return item["Type"] == "AWS::SQS::Queue"


def test_dead_letters_are_moved_and_one_that_comes_back_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with cloud(monkeypatch):
        dead, alive = queue("dead"), queue("alive")
        sqs = boto3.client("sqs")
        for number in range(12):
            sqs.send_message(QueueUrl=dead, MessageBody=f"message {number}")
        assert redrive(dead, alive) == 12
        assert {message["Body"] for message in drain(alive)} == {f"message {number}" for number in range(12)}
        assert drain(dead) == []
        # A message that is set aside again at once, as if the cause were not repaired.
        sqs.send_message(QueueUrl=dead, MessageBody="poison")
        assert redrive(dead, dead) == 1
        assert [message["Body"] for message in drain(dead)] == ["poison"]
