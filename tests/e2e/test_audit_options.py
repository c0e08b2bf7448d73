"""The audit with Object Lock on its days and an event for each access, on a stack deployed so: SOAK=1."""

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.audit_stack import accesses, invoke_export, move_to_a_day_that_has_ended, shared, verify
from tests.support.stack import Stack, own_stack
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(os.environ.get("SOAK") != "1", reason="deploys a stack of its own")


@pytest.fixture(scope="module")
def locked() -> Iterator[Stack]:
    with own_stack(AuditExport="locked", AccessEvents="ENABLED") as started:
        yield started


def test_a_day_is_exported_to_a_bucket_with_versions_and_what_lies_over_it_is_found(locked: Stack) -> None:
    """The lock itself is tried in `tests/unit/audit/test_export.py`: the emulator's CloudFormation leaves it out."""
    study, *_ = shared(locked)
    day = move_to_a_day_that_has_ended(locked, accesses(locked, study))
    assert day in invoke_export(locked)
    assert verify(locked)[0] == 0
    s3, bucket, key = locked.client("s3"), locked.outputs["AuditBucket"], f"accesses/{day[:4]}/{day}.jsonl.gz"
    [version] = s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=b"nothing")
    assert verify(locked)[0] != 0
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.get_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])["Body"].read() == data


def test_each_access_is_announced_on_the_bus(locked: Stack) -> None:
    # GIVEN a queue behind a rule of the bus
    name = f"accesses-{uuid.uuid4().hex[:8]}"
    sqs, events = locked.client("sqs"), locked.client("events")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = json.dumps({"source": ["dicom-service"], "detail-type": ["Access Recorded"]})
    events.put_rule(Name=name, EventBusName=locked.event_bus, EventPattern=pattern)
    events.put_targets(Rule=name, EventBusName=locked.event_bus, Targets=[{"Id": "queue", "Arn": arn}])

    study, patient, recipient, token = shared(locked)
    for _ in range(3):
        assert locked.request("GET", f"/exams/studies/{study}/thumbnail", key=token).status_code == 200
    assert locked.request("GET", f"/exams/studies/{study}/series", key=token).status_code == 200

    found: list[dict[str, Any]] = []

    def has_come() -> bool:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"])["detail"])
        return ("list", recipient) in {(one["action"], one["who"]) for one in found}

    wait_for(has_come, 120)
    mine = {(one["action"], one["who"], one["status"]) for one in found if one.get("studyUID") == study}
    assert mine >= {("store", "local", 200), ("share", "local", 201), ("redeem", recipient, 200)}
    assert ("picture", recipient, 200) in mine
    assert patient not in json.dumps(found)
