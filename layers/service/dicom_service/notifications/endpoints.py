"""The state of each webhook URL, shared by all workers: switched off after 410 Gone, held while it does not answer."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from dicom_service import aws, log, metrics
from dicom_service.notifications.errors import DeliveryFailed

logger = log.get_logger()

# All in seconds. A delivery that takes longer than this holds its URL for the other workers: many messages to it would
# otherwise occupy all of them before the first has reached its timeout.
_PATIENCE = 1.0
# A hold outlives the timeout of the delivery that set it,
_HELD_WAITING = 15
# and is longer once a delivery has timed out.
_HELD_SILENT = 60


@dataclass(frozen=True)
class Endpoint:
    """The state of a URL.

    Parameters
    ----------
    url
        Where webhooks go.
    is_off
        It answered 410 Gone; nothing is sent there until an operator switches it on again.
    held_until
        Seconds since the epoch before which nothing is sent there; 0 for a URL that answers in time.
    """

    url: str
    is_off: bool
    held_until: int


class Endpoints:
    """Reads and writes the state of the URLs.

    A URL that answers in time costs one read for each delivery and no write.

    Parameters
    ----------
    table
        The table of the exam events.
    clock
        Seconds since the epoch.
    patience
        Seconds before a delivery holds its URL.
    """

    def __init__(self, table: str, *, clock: Callable[[], float] = time.time, patience: float = _PATIENCE) -> None:
        self._table = table
        self._clock = clock
        self._patience = patience

    def read(self, url: str) -> Endpoint:
        """Return the state of a URL."""
        with aws.errors("The state of the webhooks cannot be read now."):
            answer = aws.dynamodb().get_item(TableName=self._table, Key=_key(url), ConsistentRead=True)
        item = aws.from_item(answer.get("Item", {}))
        return Endpoint(url, "offSince" in item, item.get("heldUntil", 0))

    def switch_off(self, url: str) -> None:
        """Send nothing to a URL from now on."""
        metrics.count("WebhooksSwitchedOff")
        logger.error("webhook switched off: it answered 410 Gone", extra={"endpoint": log.hashed(url)})
        item = {**_key(url), **aws.to_item({"url": url, "offSince": int(self._clock())})}
        with aws.errors("The state of the webhooks cannot be written now."):
            aws.dynamodb().put_item(TableName=self._table, Item=item)

    def is_free(self, endpoint: Endpoint) -> bool:
        """Check whether a message may go to a URL now.

        When a hold has expired, one worker tries the URL; for the others it stays held until that one has an answer.
        """
        if not endpoint.held_until:
            return True
        return self._clock() >= endpoint.held_until and self._hold(endpoint.url, _HELD_WAITING, endpoint.held_until)

    @contextmanager
    def watch(self, endpoint: Endpoint) -> Iterator[None]:
        """Hold a URL while a delivery to it is slow, and longer if it times out; release it when it answers."""
        slow = threading.Event()

        def hold() -> None:
            slow.set()
            self._hold(endpoint.url, _HELD_WAITING)

        timer = threading.Timer(self._patience, hold)
        timer.daemon = True
        timer.start()
        is_silent = False
        try:
            yield
        except DeliveryFailed as error:
            is_silent = error.code == "TIMEOUT"
            raise
        finally:
            timer.cancel()
            timer.join()
            if is_silent:
                self._hold(endpoint.url, _HELD_SILENT)
            elif slow.is_set() or endpoint.held_until:
                self._release(endpoint.url)

    def _hold(self, url: str, seconds: int, instead_of: int | None = None) -> bool:
        """Hold a URL; False where another worker was first."""
        values = {":until": int(self._clock()) + seconds}
        condition: dict[str, str] = {}
        if instead_of is not None:
            values[":before"] = instead_of
            condition["ConditionExpression"] = "heldUntil = :before"
        return self._update(url, "SET heldUntil = :until", ExpressionAttributeValues=aws.to_item(values), **condition)

    def _release(self, url: str) -> None:
        self._update(url, "REMOVE heldUntil")

    def _update(self, url: str, expression: str, **options: Any) -> bool:
        try:
            with aws.errors("The state of the webhooks cannot be written now."):
                aws.dynamodb().update_item(TableName=self._table, Key=_key(url), UpdateExpression=expression, **options)
        except aws.ConditionFailed:
            return False
        except aws.AwsError as error:
            # Without the hold other workers may wait for this URL; its message must not fail for that.
            logger.warning("hold not written", extra={"endpoint": log.hashed(url), **log.describe(error)})
        return True


def _key(url: str) -> dict[str, Any]:
    return aws.to_item({"shard": "ENDPOINT", "sequence": sha256(url.encode()).hexdigest()})
