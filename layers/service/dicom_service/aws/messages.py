"""SQS and EventBridge in batches; like `dicom_service.aws.tables` it raises botocore's errors."""

from collections.abc import Sequence
from typing import Any

from dicom_service.aws import clients
from dicom_service.aws.errors import Unprocessed, tolerated
from dicom_service.aws.retry import tries

# What one request takes, of either service.
_BATCH = 10
_ATTEMPTS = 4


def send_all(queue_url: str, bodies: Sequence[str], *, delay: int = 0) -> None:
    """Send messages to a queue.

    Where it fails some of them may have been sent: send them all again.

    Parameters
    ----------
    queue_url
        The queue.
    bodies
        The messages.
    delay
        Seconds until they can be received, 900 at most.
    """
    for start in range(0, len(bodies), _BATCH):
        entries: Any = [
            {"Id": str(number), "MessageBody": body, "DelaySeconds": delay}
            for number, body in enumerate(bodies[start : start + _BATCH])
        ]
        if clients.sqs().send_message_batch(QueueUrl=queue_url, Entries=entries).get("Failed"):
            raise Unprocessed


def put_events(entries: Sequence[Any]) -> set[int]:
    """Put events on a bus, each again that it does not take; return the positions of those that it never took."""
    waiting = list(range(len(entries)))
    for _ in tries(_ATTEMPTS):
        chunks = [waiting[start : start + _BATCH] for start in range(0, len(waiting), _BATCH)]
        waiting = [position for chunk in chunks for position in _put_chunk(entries, chunk)]
        if not waiting:
            break
    return set(waiting)


def _put_chunk(entries: Sequence[Any], positions: list[int]) -> list[int]:
    with tolerated("the bus rejects"):
        answer = clients.events().put_events(Entries=[entries[position] for position in positions])
        results = zip(positions, answer["Entries"], strict=True)
        return [position for position, result in results if result.get("ErrorCode") or not result.get("EventId")]
    return positions
