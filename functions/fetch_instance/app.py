"""Fetch queue: fetches instances into the cache bucket that take longer than a request may."""

from typing import Any

from dicom_service.aws.sqs_worker import Outcome, process_batch
from dicom_service.exams.dependencies import fetch_queues, fetcher


def fetch(message: Any, attempt: int) -> Outcome:
    return fetcher().fetch(message, attempt)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return process_batch(event, fetch_queues(), fetch)
