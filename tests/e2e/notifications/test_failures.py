"""On the deployed stack: URLs that fail or are gone, what an operator does about them, and a rule of one's own."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.exams import exam, upload
from tests.support.stack import Stack
from tests.support.waiting import eventually_absent, wait_for
from tests.support.webhooks import Receiver, dead_webhooks, receiving

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def receiver(stack: Stack) -> Iterator[Receiver]:
    """A receiver at three URLs, of which only /hook is well."""
    with receiving(stack, ["/hook", "/failing", "/gone"], "1,1,2") as receiver:
        receiver.statuses |= {"/failing": 500, "/gone": 410}
        yield receiver


def operator(stack: Stack, *arguments: str) -> str:
    """Run one of the scripts as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **stack.local.settings.aws_environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_dead_letters_are_sent_again_with_one_command(stack: Stack, receiver: Receiver) -> None:
    # GIVEN a URL that fails until the last attempt
    before = dead_webhooks(stack)
    study, files = exam(1, 1)
    upload(stack, files)
    wait_for(lambda: receiver.of(study))
    wait_for(lambda: dead_webhooks(stack) > before, 150)
    # WHEN it is well again and the operator sends its dead letters again
    receiver.statuses["/failing"] = 204
    try:
        assert int(operator(stack, "scripts.redrive", "Webhooks").removesuffix(" messages sent again")) >= 1
        # THEN it gets them, signed with its own secret
        wait_for(lambda: receiver.of(study, "/failing"))
    finally:
        receiver.statuses["/failing"] = 500
    assert operator(stack, "scripts.webhooks", "secret", receiver.url("/hook")).startswith("whsec_")


def test_gone_is_left_alone_until_it_is_enabled(stack: Stack, receiver: Receiver) -> None:
    # GIVEN a URL that has said 410, which was noted
    upload(stack, exam(1, 1)[1])
    wait_for(lambda: ("/gone", 410) in receiver.answered)
    wait_for(lambda: is_off(stack, receiver.url("/gone")))
    # WHEN it is well again THEN it stays alone until the operator enables it
    receiver.statuses["/gone"] = 204
    quiet, files = exam(1, 1)
    upload(stack, files)
    wait_for(lambda: receiver.of(quiet))
    # Its message to the URL that is off may come a little later than that to the other: this one is behind both.
    behind, files = exam(1, 1)
    upload(stack, files)
    wait_for(lambda: receiver.of(behind))
    assert operator(stack, "scripts.webhooks", "enable", receiver.url("/gone")) == "switched on"
    loud, files = exam(1, 1)
    upload(stack, files)
    eventually_absent(lambda: receiver.of(quiet, "/gone"), marker=lambda: receiver.of(loud, "/gone"))


def is_off(stack: Stack, url: str) -> bool:
    key = {"shard": {"S": "ENDPOINT"}, "sequence": {"S": hashlib.sha256(url.encode()).hexdigest()}}
    found = stack.client("dynamodb").get_item(TableName=stack.outputs["ExamEventsTable"], Key=key)
    return "offSince" in found.get("Item", {})


def test_an_operators_own_rule_gets_the_events(stack: Stack, receiver: Receiver) -> None:
    # GIVEN the documentation's example of a rule to a queue, deployed
    template = (ROOT / "docs/examples/events-to-queue.yaml").read_text()
    cloudformation = stack.client("cloudformation")
    parameters = [{"ParameterKey": "EventBusName", "ParameterValue": stack.event_bus}]
    cloudformation.create_stack(StackName="own-rule", TemplateBody=template, Parameters=parameters)
    try:
        described = wait_for(
            lambda: [
                found
                for found in cloudformation.describe_stacks(StackName="own-rule")["Stacks"]
                if found["StackStatus"] == "CREATE_COMPLETE"
            ]
        )
        queue = {output["OutputKey"]: output["OutputValue"] for output in described[0]["Outputs"]}["QueueUrl"]
        # WHEN an exam arrives
        study, files = exam(1, 1)
        upload(stack, files)
        # THEN the queue has its event
        sqs = stack.client("sqs")
        bodies: list[dict[str, Any]] = []

        def arrived() -> list[dict[str, Any]]:
            for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
                bodies.append(json.loads(message["Body"]))
            return [body for body in bodies if body["detail"].get("StudyInstanceUID") == study]

        (event,) = wait_for(arrived)
        assert (event["source"], event["detail-type"]) == ("dicom-service", "Exam Uploaded")
    finally:
        cloudformation.delete_stack(StackName="own-rule")
