"""An AWS that fails as AWS does, which moto and the local stack never do: answers put in at botocore's own edge.

At ``before-send`` a request is answered instead of being sent, with what AWS answers; a batch is cut before it is sent,
and the rest is named in its answer. The SDK's retries, the service's own and its errors run as they are.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import botocore.endpoint
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from dicom_service import aws
from dicom_service.aws import retry

_WRITES = ("PutItem", "UpdateItem", "DeleteItem")
_BATCHES = {"BatchGetItem": "UnprocessedKeys", "BatchWriteItem": "UnprocessedItems"}
KINDS = ("conflict", "throttled", "slow down", "server error", "unprocessed", "range ignored")


class AwsFaults:
    """A context manager; every request to DynamoDB, S3 and SQS may meet one of the faults that fit it.

    Parameters
    ----------
    patch
        Takes the waiting out of retries.
    share
        Which share of requests meets one.
    seed
        Of the choice.
    kinds
        Which faults; all without it.

    Attributes
    ----------
    met
        How often each was met.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, *, share: float, seed: int = 0, kinds: tuple[str, ...] = KINDS
    ) -> None:
        self.met: Counter[str] = Counter()
        self._patch = patch
        self._share = share
        self._kinds = kinds
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._clients: list[Any] = []

    def __enter__(self) -> Self:
        self._patch.setattr(retry, "pause", lambda attempt: None)
        self._patch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))
        self._clients = [aws.dynamodb(), aws.s3(), aws.sqs()]
        for client in self._clients:
            events = client.meta.events
            events.register_first("before-send", self._before_send)
            events.register("before-parameter-build", self._cut)
            events.register("after-call", self._name_the_rest)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            events = client.meta.events
            events.unregister("before-send", self._before_send)
            events.unregister("before-parameter-build", self._cut)
            events.unregister("after-call", self._name_the_rest)

    def _meets(self, *fitting: str) -> str | None:
        """Choose one of the faults that fit, or none."""
        with self._lock:
            possible = [kind for kind in fitting if kind in self._kinds]
            if not possible or self._chance.random() >= self._share:
                return None
            kind = self._chance.choice(possible)
            self.met[kind] += 1
            return kind

    def _before_send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        service, operation = event_name.split(".")[1:]
        if service == "s3":
            return self._s3(request, operation)
        kind = self._meets("throttled", "server error", *(["conflict"] if _may_conflict(operation) else []))
        if kind is None:
            return None
        if kind == "server error":
            return _answer(request, 500, {"__type": "InternalServerError", "message": "Internal server error"})
        if kind == "throttled":
            return _answer(request, 400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
        if operation != "TransactWriteItems":
            return _answer(request, 400, {"__type": "TransactionConflictException", "message": "It is ongoing"})
        count = len(json.loads(request.body)["TransactItems"])
        reasons = [{"Code": "None"}] * (count - 1) + [{"Code": "TransactionConflict", "Message": "ongoing"}]
        told = {"__type": "TransactionCanceledException", "message": "canceled", "CancellationReasons": reasons}
        return _answer(request, 400, told)

    def _s3(self, request: Any, operation: str) -> AWSResponse | None:
        kind = self._meets("slow down", "server error", *(["range ignored"] if "Range" in request.headers else []))
        if kind == "range ignored":
            del request.headers["Range"]  # what comes is the whole object, with 200
            return None
        if kind is None:
            return None
        status, code = (503, "SlowDown") if kind == "slow down" else (500, "InternalError")
        body = f"<Error><Code>{code}</Code><Message>Please reduce your request rate.</Message></Error>".encode()
        return _response(request, status, {"Content-Type": "application/xml"}, body)

    def _cut(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        """Send only a part of a batch."""
        if model.name not in _BATCHES or self._meets("unprocessed") is None:
            return
        rest: dict[str, Any] = {}
        for table, asked in params["RequestItems"].items():
            if model.name == "BatchGetItem":
                half = len(asked["Keys"]) // 2
                rest[table] = {**asked, "Keys": asked["Keys"][half:]}
                params["RequestItems"] = {table: {**asked, "Keys": asked["Keys"][:half]}}
            else:
                half = len(asked) // 2
                rest[table] = asked[half:]
                params["RequestItems"] = {table: asked[:half]}
            if not half:  # of one entry nothing is left to be sent: it goes through
                params["RequestItems"], rest = {table: asked}, {}
        context["left out"] = rest

    def _name_the_rest(self, parsed: dict[str, Any], model: Any, context: Mapping[str, Any], **_: Any) -> None:
        if context.get("left out") and "Error" not in parsed:
            parsed[_BATCHES[model.name]] = context["left out"]


class _Raw:
    """A body as urllib3 has it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self._body

    def read(self, *_: Any, **__: Any) -> bytes:
        body, self._body = self._body, b""
        return body


def _may_conflict(operation: str) -> bool:
    return operation in _WRITES or operation == "TransactWriteItems"


def _answer(request: Any, status: int, body: Mapping[str, Any]) -> AWSResponse:
    kind = str(body["__type"])
    headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": kind}
    return _response(request, status, headers, json.dumps(body).encode())


def _response(request: Any, status: int, headers: Mapping[str, str], body: bytes) -> AWSResponse:
    # Botocore asks all handlers and takes the first answer: moto must not do what was answered with an error.
    request.url = "http://fault.invalid/"
    return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), _Raw(body))
