"""DynamoDB items from and to plain values."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

# Most values are text, which needs no serializer: boto3's looks each value up among its ten types.
_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn plain values into a DynamoDB item; None values are left out."""
    return {
        key: {"S": value} if type(value) is str else _serializer.serialize(value)
        for key, value in values.items()
        if value is not None
    }


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a DynamoDB item into plain values; whole numbers become int."""
    return {
        key: value["S"] if "S" in value else _plain(_deserializer.deserialize(value)) for key, value in item.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value
