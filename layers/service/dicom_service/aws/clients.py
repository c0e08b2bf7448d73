"""AWS clients: one a service and process, made when first used.

Of the time that a small request takes here, most is the SDK's. Two things that it does anew for each are made simpler:
the text of ``User-Agent``, which it composes twice, and dates, which it reads with a parser for all ways to write them.
And it compares each value of a request to DynamoDB with the service's description, which takes half the time of a large
transaction. DynamoDB rejects values of another type itself; in tests, whose stores take them, the SDK still compares.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.session import get_session
from botocore.utils import parse_timestamp

from dicom_service.aws.retry import SDK_MODE, SDK_RETRIES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

# The SDK adds "Botocore/" and its version. Without AWS's statistics of features in use, which are different each time.
_USER_AGENT = f"dicom-service Boto3/{boto3.__version__}"
# An API request has 29 s: a store that hangs must give the caller an answer before the gateway gives up.
_CONFIG = Config(
    connect_timeout=2,
    read_timeout=8,
    retries={"mode": SDK_MODE, "max_attempts": SDK_RETRIES},
    user_agent=_USER_AGENT,
)
DYNAMODB_CONFIG = _CONFIG.merge(Config(parameter_validation=False))
# SigV4 must be named: the default of some regions signs neither length nor conditions (security.md, "Uploads").
# "virtual": presigned URLs name the bucket's region. By default they name the global endpoint, which redirects, or
# rejects, what goes to another region than us-east-1.
_S3_CONFIG = _CONFIG.merge(Config(signature_version="s3v4", s3={"addressing_style": "virtual"}, read_timeout=60))


@cache
def _session() -> boto3.Session:
    session = get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return boto3.Session(botocore_session=session)


def _timestamp(value: Any) -> datetime:
    """Read the date of a header (RFC 9110 §5.6.7), which each object has; any other time as the SDK does."""
    if isinstance(value, str) and value.endswith(" GMT"):
        return parsedate_to_datetime(value)
    return parse_timestamp(value)


@cache
def dynamodb() -> "DynamoDBClient":
    """Return the DynamoDB client."""
    return _session().client("dynamodb", config=DYNAMODB_CONFIG)


@cache
def s3() -> "S3Client":
    """Return the S3 client; its presigned URLs are SigV4."""
    return _session().client("s3", config=_S3_CONFIG)


@cache
def secretsmanager() -> "SecretsManagerClient":
    """Return the Secrets Manager client."""
    return _session().client("secretsmanager", config=_CONFIG)


@cache
def events() -> "EventBridgeClient":
    """Return the EventBridge client."""
    return _session().client("events", config=_CONFIG)


@cache
def sqs() -> "SQSClient":
    """Return the SQS client."""
    return _session().client("sqs", config=_CONFIG)


def forget_clients() -> None:
    """Drop the cached clients, so that the next use makes them anew (tests change endpoints)."""
    for factory in (_session, dynamodb, s3, secretsmanager, events, sqs):
        factory.cache_clear()
