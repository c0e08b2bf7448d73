"""AWS clients and the small translations around them: one client a service and process, made when first used."""

import json
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

# An API request has 29 s: a store that hangs must give the caller an answer before the gateway gives up.
_CONFIG = Config(connect_timeout=2, read_timeout=8, retries={"mode": "standard", "max_attempts": 4})
# SigV4 must be named: the default of some regions signs neither length nor conditions (security.md, "Uploads").
_S3_CONFIG = _CONFIG.merge(Config(signature_version="s3v4", read_timeout=60))

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


@cache
def dynamodb() -> "DynamoDBClient":
    """Give the DynamoDB client."""
    return boto3.client("dynamodb", config=_CONFIG)


@cache
def s3() -> "S3Client":
    """Give the S3 client; its presigned URLs are SigV4."""
    return boto3.client("s3", config=_S3_CONFIG)


@cache
def secretsmanager() -> "SecretsManagerClient":
    """Give the Secrets Manager client."""
    return boto3.client("secretsmanager", config=_CONFIG)


@cache
def events() -> "EventBridgeClient":
    """Give the EventBridge client."""
    return boto3.client("events", config=_CONFIG)


@cache
def sqs() -> "SQSClient":
    """Give the SQS client."""
    return boto3.client("sqs", config=_CONFIG)


def forget_clients() -> None:
    """Drop the cached clients, so that the next use makes them anew (tests change endpoints)."""
    for factory in (dynamodb, s3, secretsmanager, events, sqs):
        factory.cache_clear()


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn plain values into a DynamoDB item; None values are left out."""
    return {key: _serializer.serialize(value) for key, value in values.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a DynamoDB item into plain values; whole numbers become int."""
    return {key: _plain(_deserializer.deserialize(value)) for key, value in item.items()}


def _plain(value: Any) -> Any:
    from decimal import Decimal

    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


class Secret:
    """One JSON secret, kept in memory for a short time so that a rotation is seen and a request costs no call.

    Parameters
    ----------
    arn
        Name or ARN in Secrets Manager.
    max_age
        Seconds for which a value read before may be used.
    clock
        Monotonic seconds.
    """

    def __init__(self, arn: str, *, max_age: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.arn = arn
        self._max_age = max_age
        self._clock = clock
        self._value: dict[str, Any] = {}
        self._read_at: float | None = None

    def value(self) -> dict[str, Any]:
        """Give the secret's JSON object."""
        if self._read_at is None or self._clock() - self._read_at > self._max_age:
            text = secretsmanager().get_secret_value(SecretId=self.arn)["SecretString"]
            self._value = json.loads(text)
            self._read_at = self._clock()
        return self._value
