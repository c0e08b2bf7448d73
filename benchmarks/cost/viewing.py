"""What it costs to look at an exam: the requests that OHIF makes, counted in process.

What the authorizer asks for is added by its rule: for each request it counts up the access token, and reads its code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks.cost.counting import Counted, counting
from benchmarks.cost.prices import WRITES_OF_A_RECORD, in_usd
from tests.support.viewer_calls import Viewer, viewing
from tests.support.viewers import ANY_FRAME, Archive, image

SLICES = 600
_STUDY, _SERIES, _PATIENT = "1.2.3", "1.2.3.4", "P1"


@dataclass(frozen=True)
class Looked:
    """What one look at an exam is billed for, in units, and how many requests it was."""

    requests: int
    counted: Counted


def look(slices: int = SLICES) -> tuple[Looked, Looked]:
    """Return the first look at an exam, and the next one on the same day."""
    archive = Archive()
    images = [image(_PATIENT, _STUDY, _SERIES, seed=number) for number in range(slices)]
    archive.add(*images)
    with pytest.MonkeyPatch.context() as patch, archive.server() as server, viewing(patch, server.url) as viewer:
        # Settings and keys are read once a process, not once a look.
        viewer.get("/dicomweb/studies?limit=1")
        viewer.get(f"/dicomweb/studies/{_STUDY}/metadata")
        instances = [str(each.SOPInstanceUID) for each in images]
        return _look(viewer, instances), _look(viewer, instances)


def _look(viewer: Viewer, instances: list[str]) -> Looked:
    paths = list(asked_by_ohif(instances))
    with counting() as counted:
        for path in paths:
            answer = viewer.get(path, Accept=ANY_FRAME if "/frames/" in path else "*/*", Accept_Encoding="gzip")
            if answer.status != 200:
                raise RuntimeError(f"{path} was answered {answer.status}")
    counted["DynamoDB WRU"] += (WRITES_OF_A_RECORD - 1) * counted["dynamodb.UpdateItem"]
    for unit in ("DynamoDB WRU", "DynamoDB RRU"):
        counted[unit] += len(paths)
    return Looked(len(paths), counted)


def asked_by_ohif(instances: list[str]) -> Iterator[str]:
    """Yield the paths that OHIF 3.13 asks for one study of one series (tests/e2e/pages/test_viewer.py)."""
    root = "/dicomweb/studies"
    yield f"{root}?StudyInstanceUID={_STUDY}&limit=101&offset=0&fuzzymatching=true"
    yield f"{root}/{_STUDY}/series"
    yield f"{root}?00100020={_PATIENT}&limit=101&offset=0"
    yield f"{root}?StudyInstanceUID={_STUDY}"
    yield f"{root}/{_STUDY}/series/{_SERIES}/metadata"
    for uid in instances:
        yield f"{root}/{_STUDY}/series/{_SERIES}/instances/{uid}/frames/1"


def usd(looked: Looked, prices: Mapping[str, Any]) -> dict[str, float]:
    """Return what one look costs, by service."""
    assumed, counted = prices["assumed"], looked.counted
    calls = 2 * looked.requests  # the authorizer's too
    used = {
        **{name: counted[name] for name in ("S3 PUT", "S3 GET", "DynamoDB WRU", "DynamoDB RRU", "SQS", "EventBridge")},
        "Lambda requests": calls,
        "Lambda GB-s": assumed["GB-s of a frame"] * looked.requests
        + assumed["GB-s of any other invocation"] * looked.requests,
        "API Gateway": looked.requests,
        "X-Ray traces": calls * assumed["share of invocations traced"],
        "logs": calls * assumed["kB of logs for an invocation"] / 1e6,
    }
    return {service: amount / 1e6 for service, amount in in_usd(used, prices).items()}
