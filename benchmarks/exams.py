"""Uploading: what the service adds to what the PACS needs anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from benchmarks.files import Template, template
from benchmarks.servers import Servers, api_event, form_body, function, running, stow_body
from benchmarks.table import Pairs, Row, own_figure, pairs, seconds
from dicom_service.exams.registry import Arrived

# Side of the image: 39 kB (pydicom's CT_small), half a megabyte, four megabytes.
SIZES = {"39 kB": None, "0.5 MB": 512, "4 MB": 1400}
AIM = 1.10


class NoStores:
    """Stands for table and queue where only the code in between is measured."""

    def record(self, arrived: Sequence[Arrived], *, source: str, session: str | None) -> int:
        return len(arrived)


def measure() -> Iterator[Row]:
    with running() as servers:
        yield from _uploads(servers)


def _uploads(servers: Servers) -> Iterator[Row]:
    complete, alone = function("upload_exam"), function("upload_exam")
    alone.registry = lambda: NoStores()  # type: ignore[attr-defined]
    for size, side in SIZES.items():
        file = template(side)
        rounds = 11 if side == 1400 else 21
        name = f"POST /exams, {size}"
        compared = _upload_pairs(servers, alone, file, rounds)
        yield compared.row(f"{name}, no stores", "requests → STOW-RS", aim=AIM)
        yield _upload_pairs(servers, complete, file, rounds).row(f"{name}, MiniStack", "requests → STOW-RS")


def _upload_pairs(servers: Servers, upload: ModuleType, file: Template, rounds: int) -> Pairs:
    """Each request stores an instance that the PACS does not have yet; bodies are made before the clock starts."""

    def ours() -> float:
        content_type, body = form_body(file.instance())
        event = api_event("POST", "/exams", headers={"Content-Type": content_type}, body=body)
        return answered(lambda: upload.lambda_handler(event, None))

    def theirs() -> float:
        prepared = stow_body(file.instance())
        return seconds(lambda: servers.send(*prepared))

    return pairs(ours, theirs, rounds=rounds, warm_up=3, timed=own_figure)


def answered(call: Callable[[], dict[str, Any]]) -> float:
    answers: list[dict[str, Any]] = []
    cost = seconds(lambda: answers.append(call()))
    if answers[0]["statusCode"] != 200:
        raise RuntimeError(answers[0]["body"])
    return cost
