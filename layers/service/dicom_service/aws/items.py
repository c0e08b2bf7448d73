"""DynamoDB items from and to plain values."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

# For what is neither text, truth value, whole number nor map: boto3's look each value up among ten types.
_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn plain values into a DynamoDB item; None values are left out."""
    return {key: _to_value(value) for key, value in values.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a DynamoDB item into plain values; whole numbers become int."""
    return {key: _from_value(value) for key, value in item.items()}


def _to_value(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return {"S": value}
    if kind is bool:
        return {"BOOL": value}
    if kind is int:
        return {"N": str(value)}
    if kind is dict:
        return {"M": {key: _to_value(entry) for key, entry in value.items()}}
    return _serializer.serialize(value)


def _from_value(value: Any) -> Any:
    [(kind, content)] = value.items()
    if kind in ("S", "BOOL"):
        return content
    if kind == "N" and content.isdecimal():
        return int(content)
    if kind == "M":
        return {key: _from_value(entry) for key, entry in content.items()}
    return _plain(_deserializer.deserialize(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value
