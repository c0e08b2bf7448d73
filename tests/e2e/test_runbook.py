"""Every command of the runbook, and those of the deploy guide that give credentials, by the AWS CLI on a local stack.

In `make soak`: each takes seconds. The stack is one of its own, with the queues of all options.
"""

import json
import os
import re
from collections.abc import Iterator

import pytest

from scripts.redrive import QUEUES
from scripts.smoke.deployment import instance, new_uid
from tests.support.authorizer import renew_authorizer
from tests.support.runbook import commands, install_cli, keys, restore, run
from tests.support.stack import Stack, own_stack
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif("SOAK" not in os.environ, reason="the AWS CLI takes seconds for each command")

# What the emulator cannot do, by how the command begins, with what it lacks.
NOT_HERE: dict[str, str] = {}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    install_cli()
    with own_stack(AccessEvents="ENABLED") as started:
        yield started


@pytest.mark.parametrize("alarm", commands())
def test_the_commands_of_an_alarm_do_something(stack: Stack, alarm: str) -> None:
    known = [command for command in commands()[alarm] if "URL`" not in command]
    tried = [command for command in known if not command.startswith(tuple(NOT_HERE))]
    assert tried, "how does one look?"
    for command in tried:
        run(stack, command.replace(" URL", " https://receiver.example/hook"))


@pytest.mark.parametrize("queue", QUEUES)
def test_dead_letters_of_each_queue_are_sent_again(stack: Stack, queue: str) -> None:
    sqs, (target, dead) = stack.client("sqs"), QUEUES[queue]
    sqs.purge_queue(QueueUrl=stack.outputs[dead])
    # A message that no function can read: it goes back to where it came from, and harms nothing.
    sqs.send_message(QueueUrl=stack.outputs[dead], MessageBody="{}")
    assert "1 messages sent again" in run(stack, f"python -m scripts.redrive {queue}")
    assert sqs.get_queue_attributes(QueueUrl=stack.outputs[target], AttributeNames=["All"])["Attributes"]


def test_the_credentials_of_the_deploy_guide(stack: Stack) -> None:
    manager = stack.client("secretsmanager")
    names = {name: stack.outputs[name] for name in ("ServiceKeysSecret", "PacsSecret", "CallbackSecret")}
    before = {name: manager.get_secret_value(SecretId=arn)["SecretString"] for name, arn in names.items()}
    service, pacs, callback = keys()
    try:
        key = run(stack, f'{service}\necho "KEY=$KEY"').rpartition("KEY=")[2].strip()
        run(stack, pacs)
        assert "username" in manager.get_secret_value(SecretId=names["PacsSecret"])["SecretString"]
        assert stack.callback_key in run(stack, callback)
        renew_authorizer(stack)
        assert stack.request("GET", "/uid", key=key).status_code == 200
    finally:
        for name, value in before.items():
            manager.put_secret_value(SecretId=names[name], SecretString=value)
        renew_authorizer(stack)


def test_a_table_is_restored_into_the_stack(stack: Stack) -> None:
    dynamodb, table = stack.client("dynamodb"), stack.outputs["ExamsTable"]
    dicom = {"Content-Type": "application/dicom"}
    study = new_uid()
    assert stack.request("POST", "/exams", data=instance(study), headers=dicom).status_code == 200
    # Once it is announced nothing writes into the table.
    row = {"StudyInstanceUID": {"S": study}, "SOPInstanceUID": {"S": "#study"}}
    wait_for(lambda: "announcedAt" in dynamodb.get_item(TableName=table, Key=row).get("Item", {}))
    rows = sorted(json.dumps(row, sort_keys=True) for row in dynamodb.scan(TableName=table)["Items"])
    described = dynamodb.describe_table(TableName=table)["Table"]
    run(stack, re.sub(r"--restore-date-time \S+", "--use-latest-restorable-time", restore()))
    assert sorted(json.dumps(row, sort_keys=True) for row in dynamodb.scan(TableName=table)["Items"]) == rows != []
    after = dynamodb.describe_table(TableName=table)["Table"]
    assert (after["KeySchema"], after["TableArn"]) == (described["KeySchema"], described["TableArn"])
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    ttl = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt"}
    # AND the service goes on with it
    assert stack.request("POST", "/exams", data=instance(new_uid()), headers=dicom).status_code == 200
