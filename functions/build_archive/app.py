"""Archive queue: makes an exam one ZIP in the cache bucket, in as many invocations as that takes."""

from typing import Any

from dicom_service.archive.dependencies import archive_queues, builder
from dicom_service.aws.lease import leased
from dicom_service.aws.sqs_worker import Outcome, process_batch, read_messages


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    queues, messages = archive_queues(), read_messages(event)

    def build(message: Any, attempt: int) -> Outcome:
        with leased(messages, queues.url):
            return builder().build(message, attempt, context.get_remaining_time_in_millis() / 1000)

    return process_batch(event, queues, build)
