"""On a schedule, where it is switched on: looks in the PACS for exams that nobody reported."""

from functools import cache
from typing import Any

from dicom_service.notifications.poll import Poller, PollSettings
from dicom_service.pacs import connect
from dicom_service.settings import PacsSettings, load


@cache
def poller() -> Poller:
    return Poller(load(PollSettings), connect(load(PacsSettings)))


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, int]:
    return {"checks": poller().poll()}
