"""AWS's errors as this service's: botocore's exceptions are translated here and named nowhere else.

::

    Unavailable              503
    └── AwsError             the call failed; `aws_code` says as what
        ├── ConditionFailed  a condition of a write does not hold
        ├── Busy             other writers hold the items after all attempts
        ├── Missing          there is no such object, version or multipart upload
        └── Rejected         the request is one that DynamoDB never takes

A caller that can do something about one of them catches it; left alone, each is answered with 503.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service import log
from dicom_service.aws.items import from_item
from dicom_service.errors import Unavailable

logger = log.get_logger()

_CONDITION = frozenset({"ConditionalCheckFailedException", "PreconditionFailed", "412"})
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchUpload", "NotFound", "404"})
_CONTENDED = frozenset({"TransactionConflictException", "TransactionInProgressException"})
# Reasons of a canceled transaction that do not stand in the way of another attempt.
_PASSING = frozenset({"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class AwsError(Unavailable):
    """A call of AWS failed.

    Parameters
    ----------
    detail
        One sentence for the caller.
    headers
        Extra answer headers.
    aws_code
        AWS's name of the error, empty where no answer came.
    """

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, aws_code: str = "") -> None:
        super().__init__(detail, headers=headers)
        self.aws_code = aws_code


class ConditionFailed(AwsError):
    """A condition of a write does not hold, and nothing was written.

    Attributes
    ----------
    positions
        Which items of the transaction failed their conditions; 0 for a single write.
    item
        The first of them as it is in the table, where the write asked for it and it exists.
    """

    positions: frozenset[int] = frozenset({0})
    item: dict[str, Any] | None = None


class Busy(AwsError):
    """Other writers held the items until the attempts were used up."""


class Missing(AwsError):
    """There is no such object, version or multipart upload."""


class Rejected(AwsError):
    """DynamoDB will not take this request however often it is sent."""


@contextmanager
def errors(detail: str, headers: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn AWS's errors into this service's, as a context manager or a decorator.

    Parameters
    ----------
    detail
        One sentence for the caller of the API.
    headers
        Extra answer headers, such as ``Retry-After``.

    Raises
    ------
    ConditionFailed, Busy, Missing, Rejected
        What callers may want to tell apart.
    AwsError
        Anything else that stopped the call.
    """
    try:
        yield
    except ClientError as error:
        raise _translated(error, detail, headers) from error
    except BotoCoreError as error:
        kind = Busy if isinstance(error, Unprocessed) else AwsError
        raise kind(detail, headers=headers) from error


class tolerated(AbstractContextManager["tolerated"]):
    """Log AWS's errors as a warning and go on behind the block: for what may be left undone.

    Parameters
    ----------
    message
        The log line.
    """

    def __init__(self, message: str) -> None:
        self._message = message

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Swallow an error of AWS."""
        if not isinstance(error, ClientError | BotoCoreError):
            return False
        # The log names the line of the caller.
        logger.warning(self._message, extra=log.describe(error), stacklevel=3)
        return True


class Unprocessed(BotoCoreError):
    """Parts of a batch were never processed; inside this package only, like all of botocore's errors."""

    fmt = "parts of a batch were not processed"


def is_busy(error: ClientError) -> bool:
    """Return whether the same write may succeed in a moment."""
    codes = _codes(_reasons(error))
    return error.response["Error"]["Code"] in _CONTENDED or (bool(codes) and _PASSING.issuperset(codes))


def _translated(error: ClientError, detail: str, headers: Mapping[str, str] | None) -> AwsError:
    code = error.response["Error"]["Code"]
    reasons = _reasons(error)
    codes = _codes(reasons)
    kind: type[AwsError] = AwsError
    if code == "ValidationException" or "ValidationError" in codes:
        kind = Rejected
    elif code in _CONDITION or "ConditionalCheckFailed" in codes:
        return _condition_failed(error, ConditionFailed(detail, headers=headers, aws_code=code))
    elif is_busy(error):
        kind = Busy
    elif code in _MISSING:
        kind = Missing
    return kind(detail, headers=headers, aws_code=code)


def _condition_failed(error: ClientError, failed: ConditionFailed) -> ConditionFailed:
    reasons = _reasons(error)
    item = error.response.get("Item")
    if reasons:
        positions = [number for number, code in enumerate(_codes(reasons)) if code == "ConditionalCheckFailed"]
        failed.positions = frozenset(positions)
        item = reasons[positions[0]].get("Item")
    failed.item = from_item(item) if isinstance(item, dict) and item else None
    return failed


def _reasons(error: ClientError) -> list[Mapping[str, Any]]:
    return list(error.response.get("CancellationReasons", []))


def _codes(reasons: list[Mapping[str, Any]]) -> list[str]:
    return [reason.get("Code", "None") for reason in reasons]
