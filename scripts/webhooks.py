"""What an operator does with webhooks: give a receiver its secret, send dead letters again, switch a URL on again.

::

    python scripts/webhooks.py secret https://receiver.example/hook
    python scripts/webhooks.py redrive                 # webhooks that were not delivered within a day
    python scripts/webhooks.py redrive --queue ExamChecks | Announced
    python scripts/webhooks.py enable https://receiver.example/hook

Uses the AWS credentials and the region of the environment; ``--stack`` names the CloudFormation stack.
"""

import argparse
import hashlib
import json
import sys
from typing import Any

import boto3

from dicom_service.notifications.signing import endpoint_secrets

QUEUES = ("Webhooks", "ExamChecks", "Announced")


def outputs(stack: str) -> dict[str, str]:
    """Give the outputs of the CloudFormation stack."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


def secret(names: dict[str, str], url: str) -> str:
    """Give the secret with which the receiver at `url` verifies (Standard Webhooks, ``whsec_…``)."""
    text = boto3.client("secretsmanager").get_secret_value(SecretId=names["WebhookKeysSecret"])["SecretString"]
    return endpoint_secrets(json.loads(text), url)[0]


def redrive(names: dict[str, str], queue: str) -> int:
    """Move every dead letter back to its queue; give how many. Sent before deleted: none is lost if this stops."""
    sqs: Any = boto3.client("sqs")
    source, target = names[f"Dead{queue}Queue"], names[f"{queue}Queue"]
    moved = 0
    while True:
        found = sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        if not found.get("Messages"):
            return moved
        for message in found["Messages"]:
            sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
            moved += 1


def enable(names: dict[str, str], url: str) -> bool:
    """Switch a URL on again that answered 410 Gone; False when it was not off."""
    key = {"shard": {"S": "ENDPOINT"}, "sequence": {"S": hashlib.sha256(url.encode()).hexdigest()}}
    answer = boto3.client("dynamodb").delete_item(TableName=names["ExamEventsTable"], Key=key, ReturnValues="ALL_OLD")
    return "Attributes" in answer


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="dicom-service")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secret").add_argument("url")
    commands.add_parser("enable").add_argument("url")
    commands.add_parser("redrive").add_argument("--queue", choices=QUEUES, default="Webhooks")
    arguments = parser.parse_args()
    names = outputs(arguments.stack)
    if arguments.command == "secret":
        print(secret(names, arguments.url))
    elif arguments.command == "enable":
        print("switched on" if enable(names, arguments.url) else "it was not off")
    else:
        print(f"{redrive(names, arguments.queue)} messages sent again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
