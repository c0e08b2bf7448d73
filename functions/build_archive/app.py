"""Archive queue: makes an exam one ZIP in the cache bucket, in as many invocations as that takes."""

from typing import Any

from dicom_service.archive.dependencies import archive_queues, builder
from dicom_service.aws.sqs_worker import Outcome, process_batch


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    def build(message: Any, attempt: int) -> Outcome:
        return builder().build(message, attempt, context.get_remaining_time_in_millis() / 1000)

    return process_batch(event, archive_queues(), build)
