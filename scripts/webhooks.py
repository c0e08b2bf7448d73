"""Webhooks for operators: print a receiver's secret, switch a URL on again.

Dead letters are sent again by ``python -m scripts.redrive``.

::

    python scripts/webhooks.py secret https://receiver.example/hook
    python scripts/webhooks.py enable https://receiver.example/hook

Uses the AWS credentials and the region of the environment; ``--stack`` names the CloudFormation stack.
"""

import argparse
import hashlib
import json
import sys

import boto3

from dicom_service.notifications.signing import endpoint_secrets
from scripts.redrive import outputs


def secret(names: dict[str, str], url: str) -> str:
    """Return the secret by which the receiver at `url` verifies signatures (Standard Webhooks, ``whsec_…``)."""
    text = boto3.client("secretsmanager").get_secret_value(SecretId=names["WebhookKeysSecret"])["SecretString"]
    return endpoint_secrets(json.loads(text), url)[0]


def enable(names: dict[str, str], url: str) -> bool:
    """Switch a URL on again that answered 410 Gone; False when it was not off."""
    key = {"shard": {"S": "ENDPOINT"}, "sequence": {"S": hashlib.sha256(url.encode()).hexdigest()}}
    answer = boto3.client("dynamodb").delete_item(TableName=names["ExamEventsTable"], Key=key, ReturnValues="ALL_OLD")
    return "offSince" in answer.get("Attributes", {})


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="dicom-service")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secret").add_argument("url")
    commands.add_parser("enable").add_argument("url")
    arguments = parser.parse_args()
    names = outputs(arguments.stack)
    if arguments.command == "secret":
        print(secret(names, arguments.url))
    else:
        print("switched on" if enable(names, arguments.url) else "it was not off")
    return 0


if __name__ == "__main__":
    sys.exit(main())
