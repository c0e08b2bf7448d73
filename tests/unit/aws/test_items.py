"""Plain values come back from DynamoDB items as they were, whichever way they are turned into them."""

from enum import StrEnum
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from dicom_service.aws.items import from_item, to_item


class Color(StrEnum):
    RED = "red"


VALUES: dict[str, Any] = {
    "text": "Müller^Jörg",
    "empty": "",
    "whole": 3,
    "flag": False,
    "list": ["a", 1, ["b"]],
    "map": {"a": 1, "S": "x"},
    "S": "named like a type",
    "member": Color.RED,
}


def test_values_come_back_as_they_were_and_none_is_left_out() -> None:
    item = to_item({**VALUES, "nothing": None})
    assert from_item(item) == VALUES


@pytest.mark.parametrize("name", VALUES)
def test_an_item_is_the_one_that_boto3_makes(name: str) -> None:
    item = to_item(VALUES)
    assert item[name] == TypeSerializer().serialize(VALUES[name])
    assert TypeDeserializer().deserialize(item[name]) == VALUES[name]


def test_numbers_come_back_as_int_where_they_are_whole() -> None:
    found = from_item({"whole": {"N": "3"}, "half": {"N": "0.5"}, "inside": {"L": [{"N": "7"}]}})
    assert found == {"whole": 3, "half": 0.5, "inside": [7]}
    assert [type(value) for value in (found["whole"], found["half"], found["inside"][0])] == [int, float, int]
