"""Queue of checks: announces the exams that are complete."""

from functools import cache
from typing import Any

from dicom_service.aws.sqs_worker import Outcome, Queues, process_batch
from dicom_service.exams.checks import Check
from dicom_service.notifications.announce import Announcer, AnnounceSettings
from dicom_service.otp.dependencies import guard
from dicom_service.pacs import connect
from dicom_service.settings import PacsSettings, load
from dicom_service.worklist.dependencies import reconciler


@cache
def settings() -> AnnounceSettings:
    return load(AnnounceSettings)


@cache
def announcer() -> Announcer:
    reconcile = reconciler().complete_for_exam
    return Announcer(settings(), connect(load(PacsSettings)), reconcile=reconcile, watch=guard().look)


def look(message: Any, attempt: int) -> Outcome:
    return announcer().look(Check.from_message(message), attempt)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    queues = Queues(settings().checks_queue_url, settings().dead_checks_queue_url)
    return process_batch(event, queues, look)
