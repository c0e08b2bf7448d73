"""The audit: what the record of an access adds to a list and a picture, and how records are found among many."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import boto3

from benchmarks.files import File, template
from benchmarks.servers import AUDIT_TABLE, Servers, WorkNotDone, api_event, function, running
from benchmarks.table import Row, in_turn, seconds
from dicom_service import aws
from dicom_service.audit.store import BY_PATIENT, BY_STUDY, AuditReader, AuditTable
from dicom_service.edge import serve_open

# Milliseconds that a record may add.
AIM = 10.0
ROUNDS, LOOKS = 41, 100
MANY = int(os.environ.get("AUDIT_RECORDS", "100000"))
_PAGE = 100
_BATCH = 25


def measure() -> Iterator[Row]:
    with running() as servers:
        exam = template(256).exam(3)
        servers.store(*(file.content for file in exam))
        yield from _added(servers, exam)
        yield from _found()


def _added(servers: Servers, exam: list[File]) -> Iterator[Row]:
    """Compare each function with itself around the audit."""
    study = exam[0].study_uid
    requests = {
        "GET /exams/studies, one exam": ("list_exams", "/exams/studies", {"studyUID": study}),
        "GET …/thumbnail, cached": ("get_thumbnail", f"/exams/studies/{study}/thumbnail", {"size": "128"}),
    }
    for name, (which, path, query) in requests.items():
        module = function(which)
        event = api_event("GET", path, query=query)
        handlers = {"recorded": module.lambda_handler, "open": serve_open(module.app)}
        before = _counted(study)
        times = in_turn({side: _timed(handler, event) for side, handler in handlers.items()}, rounds=ROUNDS, warm_up=3)
        if _counted(study) - before != ROUNDS + 3:
            raise WorkNotDone("not every access is in the table, or one that was not to be recorded is")
        added = statistics.median(times["recorded"]) - statistics.median(times["open"])
        open_ms = statistics.median(times["open"]) * 1000
        yield Row(
            f"{name}: added by its record, p50", f"the same without, {open_ms:.1f} ms", added * 1000, "ms", aim=AIM
        )
    items, counted = len(_items()), _counted(study)
    look = api_event("GET", f"/exams/studies/{study}/thumbnail", query={"size": "128"})
    show = _timed(function("get_thumbnail").lambda_handler, look)
    for _ in range(LOOKS):
        show()
    if _counted(study) - counted != LOOKS:
        raise WorkNotDone("not every look is in the table")
    # One item more where a quarter of an hour ends in between.
    yield Row(
        f"items written for {LOOKS} more looks at an exam", "one a quarter of an hour", len(_items()) - items, "", aim=1
    )


def _timed(handler: Callable[..., dict[str, Any]], event: dict[str, Any]) -> Callable[[], float]:
    def call() -> float:
        answers: list[dict[str, Any]] = []
        cost = seconds(lambda: answers.append(handler(event, None)))
        if answers[0]["statusCode"] != 200:
            raise WorkNotDone(answers[0]["body"])
        return cost

    return call


def _items() -> list[dict[str, Any]]:
    return [aws.from_item(item) for item in boto3.client("dynamodb").scan(TableName=AUDIT_TABLE)["Items"]]


def _counted(study: str) -> int:
    return sum(item["count"] for item in _items() if item.get("study") == study)


def _found() -> Iterator[Row]:
    """Look for one study and one patient among many records."""
    requests = [{"PutRequest": {"Item": aws.to_item(_record(number))}} for number in range(MANY)]
    for start in range(0, MANY, _BATCH * 40):
        aws.batch_write(AUDIT_TABLE, requests[start : start + _BATCH * 40])
    reader, queries = AuditReader(AuditTable(AUDIT_TABLE)), [0]
    # MiniStack's first query of a table reads all of it.
    for index in (BY_STUDY, BY_PATIENT):
        list(reader.find(index, "nobody"))

    def count(**_: Any) -> None:
        queries[0] += 1

    aws.dynamodb().meta.events.register("before-call.dynamodb.Query", count)
    for index, value in ((BY_STUDY, "1.2.3.7"), (BY_PATIENT, "k1.7")):
        found: list[Any] = []
        cost = seconds(lambda index=index, value=value, found=found: found.extend(reader.find(index, value)))  # type: ignore[misc]
        if len(found) != MANY // 1000 or queries[0] != 1:
            raise WorkNotDone(f"{len(found)} records found by {queries[0]} queries")
        queries[0] = 0
        yield Row(f"{len(found)} of {MANY} records, {index}: one Query", "", cost * 1000, "ms")


def _record(number: int) -> dict[str, Any]:
    at = f"2026-01-31T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
    return {
        "id": f"bench{number}",
        "at": at,
        "last": at,
        "day": at[:10],
        "who": f"w{number % 50}",
        "study": f"1.2.3.{number % 1000}",
        "patient": f"k1.{number % 1000}",
        "action": "picture",
        "count": 1,
        "requestId": f"r{number}",
        "route": "GET /exams/studies",
    }
