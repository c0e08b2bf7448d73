"""AWS clients and the small translations around them: one client a service and process, made when first used."""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config

from dicom_service.errors import Unavailable

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

# Keys that BatchGetItem takes, and the waits between its attempts where DynamoDB answers only a part.
_BATCH = 100
_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)

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


def batch_get(
    table: str,
    keys: Iterable[Mapping[str, Any]],
    *,
    consistent: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """Read many items by key, in no order; those that are not there are left out.

    DynamoDB answers a part of a batch when it is busy and names the rest (`UnprocessedKeys`), which the SDK does not
    ask for again.

    Raises
    ------
    Unavailable
        Keys are still not read after several attempts.
    botocore.exceptions.ClientError
        The table cannot be read at all.
    """
    wanted = [to_item(key) for key in keys]
    for start in range(0, len(wanted), _BATCH):
        request: Any = {"Keys": wanted[start : start + _BATCH], "ConsistentRead": consistent}
        pauses = iter(_PAUSES)
        while request:
            answer = dynamodb().batch_get_item(RequestItems={table: request})
            yield from map(from_item, answer["Responses"].get(table, []))
            request = answer.get("UnprocessedKeys", {}).get(table)
            if request:
                pause = next(pauses, None)
                if pause is None:
                    raise Unavailable("The table is busy at the moment; try again.", headers={"Retry-After": "1"})
                sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (spreads callers, guards nothing)


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
