"""Fetch queue: brings instances into the cache bucket that take longer than a request may."""

from functools import cache
from typing import Any

from dicom_service.aws.sqs_worker import Outcome, Queues, process_batch
from dicom_service.exams.fetching import Fetcher, WorkSettings
from dicom_service.exams.retrieve import CacheSettings
from dicom_service.pacs import connect
from dicom_service.settings import PacsSettings, load


@cache
def fetcher() -> Fetcher:
    return Fetcher(connect(load(PacsSettings)), load(CacheSettings))


@cache
def queues() -> Queues:
    settings = load(WorkSettings)
    return Queues(settings.queue_url, settings.dead_letters_url)


def fetch(message: Any, attempt: int) -> Outcome:
    return fetcher().fetch(message, attempt)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return process_batch(event, queues(), fetch)
