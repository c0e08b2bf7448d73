"""Tables and queues in process (moto) for what needs neither concurrency nor delivery."""

from collections.abc import Iterator

import pytest

from dicom_service import aws
from dicom_service.exams.registry import ExamSettings
from tests.support import cloud as clouds
from tests.support.cloud import moto, queue
from tests.support.notifications import BUS, EVENTS, EXAMS

__all__ = ["moto"]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with clouds.cloud(monkeypatch, {"ExamsTable": EXAMS, "ExamEventsTable": EVENTS}):
        aws.events().create_event_bus(Name=BUS)
        yield


@pytest.fixture
def exam_settings(cloud: None) -> ExamSettings:
    return ExamSettings(table=EXAMS, checks_queue_url=queue("checks"), quiet_period=0)
