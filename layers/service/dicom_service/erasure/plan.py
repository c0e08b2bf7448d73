"""What an erasure has found, kept until it is done: what was killed halfway goes on with what it knew.

The traces of a patient lead to one another, and each that is erased leads nowhere any more. So everything is found
first and written down, as items ``ERASURE``, ``<who, hashed>#<number>`` of the table ExamEvents; the last step removes
them. They hold UIDs and ids of files, no value of a patient.
"""

import time
from typing import Any

from dicom_service import aws
from dicom_service.erasure.stores import Writer, available
from dicom_service.erasure.subject import Subject

SHARD = "ERASURE"
_KEPT_DAYS = 30
# Of 100 bytes at most; an item takes 400 kB.
_NAMES_AN_ITEM = 3000


class Plan:
    """The notes of one erasure.

    Parameters
    ----------
    table
        The table ExamEvents.
    """

    def __init__(self, table: str, subject: Subject) -> None:
        self._table = table
        self._subject = subject
        self._keys: list[dict[str, str]] = []

    def load(self) -> bool:
        """Add what an earlier run had found; tell whether there was one that was not finished."""
        pages = aws.dynamodb().get_paginator("query")
        for token in self._subject.tokens():
            values = aws.to_item({":shard": SHARD, ":token": f"{token}#"})
            with available(self._table):
                found = pages.paginate(
                    TableName=self._table,
                    KeyConditionExpression="#shard = :shard AND begins_with(#sequence, :token)",
                    ExpressionAttributeNames={"#shard": "shard", "#sequence": "sequence"},
                    ExpressionAttributeValues=values,
                    ConsistentRead=True,
                )
                items = [aws.from_item(item) for page in found for item in page["Items"]]
            for item in items:
                self._keys.append({"shard": SHARD, "sequence": item["sequence"]})
                self._subject.studies |= set(item["studies"])
                self._subject.files |= set(item["files"])
        return bool(self._keys)

    def save(self) -> None:
        """Write down what was found."""
        token = self._subject.tokens()[0]
        studies, files = sorted(self._subject.studies), sorted(self._subject.files)
        for number in range(max(len(studies), len(files)) // _NAMES_AN_ITEM + 1):
            some = slice(number * _NAMES_AN_ITEM, (number + 1) * _NAMES_AN_ITEM)
            key = {"shard": SHARD, "sequence": f"{token}#{number:04d}"}
            item: dict[str, Any] = {
                **key,
                "studies": studies[some],
                "files": files[some],
                "expiresAt": int(time.time()) + _KEPT_DAYS * 86_400,
            }
            with available(self._table):
                aws.dynamodb().put_item(TableName=self._table, Item=aws.to_item(item))
            if key not in self._keys:
                self._keys.append(key)

    def remove(self) -> None:
        """Remove the notes: all is done."""
        Writer().delete("ExamEvents", self._table, self._keys)
