"""Queues and tables of the notifications, in process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dicom_service import aws
from dicomweb.errors import PacsUnreachable
from tests.support.fake_client import FakeClient

EXAMS = "Exams"
EVENTS = "ExamEvents"
BUS = "bus"


def drain(url: str) -> list[dict[str, Any]]:
    """Take every visible message of a queue."""
    taken: list[dict[str, Any]] = []
    while True:
        found = aws.sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])
        if not found.get("Messages"):
            return taken
        taken += [dict(message) for message in found["Messages"]]


@dataclass(frozen=True)
class Rows:
    datasets: list[dict[str, Any]]
    more: bool = False


@dataclass
class Pacs(FakeClient):  # type: ignore[misc]
    """A PACS that knows studies as series with a number of instances; answers in pages of two."""

    studies: dict[str, dict[str, int]] = field(default_factory=dict)
    tells_counts: bool = True
    down: bool = False

    def search_for_studies(
        self, filters: Mapping[str, str], *, limit: int | None, offset: int, includefields: tuple[str, ...]
    ) -> Rows:
        if self.down:
            raise PacsUnreachable("refused")
        if filters.get("StudyInstanceUID") not in self.studies:
            return Rows([])
        return Rows([{"00100020": {"vr": "LO", "Value": ["P1"]}, "00080050": {"vr": "SH", "Value": ["A1"]}}])

    def search_for_series(
        self, study_uid: str, *, limit: int | None, offset: int, includefields: tuple[str, ...]
    ) -> Rows:
        rows: list[dict[str, Any]] = []
        for uid, count in self.studies[study_uid].items():
            row: dict[str, Any] = {"0020000E": {"vr": "UI", "Value": [uid]}, "00080060": {"vr": "CS", "Value": ["CT"]}}
            if self.tells_counts:
                row["00201209"] = {"vr": "IS", "Value": [count]}
            rows.append(row)
        return Rows(rows[offset : offset + 2], offset + 2 < len(rows))

    def search_for_instances(self, study_uid: str, series_uid: str, *, limit: int | None, offset: int) -> Rows:
        count = self.studies[study_uid][series_uid]
        return Rows([{}] * min(2, count - offset), offset + 2 < count)
