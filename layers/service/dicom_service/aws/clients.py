"""AWS clients: one a service and process, made when first used."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from dicom_service.aws.retry import SDK_MODE, SDK_RETRIES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

# An API request has 29 s: a store that hangs must give the caller an answer before the gateway gives up.
_CONFIG = Config(connect_timeout=2, read_timeout=8, retries={"mode": SDK_MODE, "max_attempts": SDK_RETRIES})
# SigV4 must be named: the default of some regions signs neither length nor conditions (security.md, "Uploads").
# "virtual": presigned URLs name the bucket's region. By default they name the global endpoint, which redirects, or
# rejects, what goes to another region than us-east-1.
_S3_CONFIG = _CONFIG.merge(Config(signature_version="s3v4", s3={"addressing_style": "virtual"}, read_timeout=60))


@cache
def dynamodb() -> "DynamoDBClient":
    """Return the DynamoDB client."""
    return boto3.client("dynamodb", config=_CONFIG)


@cache
def s3() -> "S3Client":
    """Return the S3 client; its presigned URLs are SigV4."""
    return boto3.client("s3", config=_S3_CONFIG)


@cache
def secretsmanager() -> "SecretsManagerClient":
    """Return the Secrets Manager client."""
    return boto3.client("secretsmanager", config=_CONFIG)


@cache
def events() -> "EventBridgeClient":
    """Return the EventBridge client."""
    return boto3.client("events", config=_CONFIG)


@cache
def sqs() -> "SQSClient":
    """Return the SQS client."""
    return boto3.client("sqs", config=_CONFIG)


def forget_clients() -> None:
    """Drop the cached clients, so that the next use makes them anew (tests change endpoints)."""
    for factory in (dynamodb, s3, secretsmanager, events, sqs):
        factory.cache_clear()
