"""Uploading: what the service adds to what the PACS needs anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from benchmarks.files import File, Template, template
from benchmarks.servers import Servers, api_event, check_registered, form_body, function, running, stow_body
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
        compared, _ = _upload_pairs(servers, alone, file, rounds)
        yield compared.row(f"{name}, no stores", "requests → STOW-RS", aim=AIM)
        compared, stored_by_us = _upload_pairs(servers, complete, file, rounds)
        check_registered(stored_by_us)
        yield compared.row(f"{name}, MiniStack", "requests → STOW-RS")


def _upload_pairs(servers: Servers, upload: ModuleType, series: Template, rounds: int) -> tuple[Pairs, list[File]]:
    """Each request stores an instance that the PACS does not have yet; bodies are made before the clock starts.

    What both sides sent is looked up in the PACS when all pairs have run; what ours sent is returned.
    """
    study = series.own_study()
    sent: dict[str, list[File]] = {"ours": [], "theirs": []}

    def ours() -> float:
        sent["ours"].append(study.instance())
        content_type, body = form_body(sent["ours"][-1].content)
        event = api_event("POST", "/exams", headers={"Content-Type": content_type}, body=body)
        return answered(lambda: upload.lambda_handler(event, None))

    def theirs() -> float:
        sent["theirs"].append(study.instance())
        prepared = stow_body(sent["theirs"][-1].content)
        return seconds(lambda: servers.send(*prepared))

    compared = pairs(ours, theirs, rounds=rounds, warm_up=3, timed=own_figure)
    servers.check_stored(sent["ours"] + sent["theirs"])
    return compared, sent["ours"]


def answered(call: Callable[[], dict[str, Any]]) -> float:
    answers: list[dict[str, Any]] = []
    cost = seconds(lambda: answers.append(call()))
    if answers[0]["statusCode"] != 200:
        raise RuntimeError(answers[0]["body"])
    return cost
