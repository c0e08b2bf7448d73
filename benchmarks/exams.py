"""Uploading: what the service adds to what the PACS needs anyway.

Two things stand beside `POST /exams`: a plain STOW-RS request, and the limit of what is promised. An instance that
came past the service is found by a search of the whole PACS before the file is sent, one that is sent at the same time
by the digest that is claimed (docs/decisions/0016, 0025). So no upload can take less than that search, with the digest
made beside it, and the STOW-RS request after both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

from benchmarks.files import File, Template, template
from benchmarks.servers import Servers, api_event, check_registered, form_body, function, running, stow_body
from benchmarks.table import Pairs, Row, in_turn, seconds
from dicom_service.dependencies import pacs
from dicom_service.edge import serve_open
from dicom_service.exams.registry import Arrived
from dicom_service.patient import Patient
from dicom_service.storing.admission import Admission, AdmissionSettings
from dicom_service.storing.claims import Claim, Claims, ClaimSettings
from dicom_service.storing.store_files import StoreSettings, store_files

# Side of the image: 39 kB (pydicom's CT_small), half a megabyte, four megabytes.
SIZES = {"39 kB": None, "0.5 MB": 512, "4 MB": 1400}
OURS, PLAIN, LIMIT = "POST /exams", "requests → STOW-RS", "one search beside the digest, then STOW-RS"
AIM = 1.15
_BESIDE = ThreadPoolExecutor(1)


class NoStores:
    """Stands for table and queue where only the code in between is measured."""

    def record(self, arrived: Sequence[Arrived], *, source: str, session: str | None) -> int:
        return len(arrived)


class NoClaims(Claims):
    """Stands for the table of claims likewise: every file of a benchmark is new."""

    def __init__(self) -> None:
        super().__init__(ClaimSettings("none", "none"), lease=60)

    def make(self, claims: Sequence[Claim]) -> dict[str, Claim]:
        return {}

    def claim_study(self, study_instance_uid: str, patient: Patient) -> bool:
        return True


def measure() -> Iterator[Row]:
    with running() as servers:
        yield from _uploads(servers)


def _uploads(servers: Servers) -> Iterator[Row]:
    complete, alone = function("upload_exam"), function("upload_exam")
    guard = Admission(AdmissionSettings(), pacs(), NoClaims())
    store = partial(store_files, client=pacs(), registry=NoStores(), admission=guard, settings=StoreSettings())
    _replace(alone, "store", lambda: store)
    alone.lambda_handler = serve_open(alone.app)  # type: ignore[attr-defined]
    for size, side in SIZES.items():
        file = template(side)
        rounds = 41 if side == 1400 else 61
        times, _ = _upload_rounds(servers, alone, file, rounds)
        yield Pairs(times[OURS], times[PLAIN]).row(f"{OURS}, {size}, no stores", PLAIN)
        yield Pairs(times[OURS], times[LIMIT]).row(f"{OURS}, {size}, no stores", LIMIT, aim=AIM)
        times, stored_by_us = _upload_rounds(servers, complete, file, rounds)
        check_registered(stored_by_us)
        yield Pairs(times[OURS], times[PLAIN]).row(f"{OURS}, {size}, MiniStack", PLAIN)


def _replace(module: ModuleType, name: str, value: object) -> None:
    """Replace what a module has; a name that it no longer has is an error."""
    getattr(module, name)
    setattr(module, name, value)


def _upload_rounds(
    servers: Servers, upload: ModuleType, series: Template, rounds: int
) -> tuple[dict[str, tuple[float, ...]], list[File]]:
    """Each request stores an instance that the PACS does not have yet; bodies are made before the clock starts.

    What all sides sent is looked up in the PACS when all rounds have run; what ours sent is returned.
    """
    study, apart = series.own_study(), servers.apart()
    sent: dict[str, list[File]] = {OURS: [], PLAIN: [], LIMIT: []}

    def new(side: str) -> File:
        file = study.instance()
        # Its bytes are let go of, as a warm function does: each body would otherwise lie in memory that is new.
        sent[side].append(replace(file, content=b""))
        return file

    def ours() -> float:
        content_type, body = form_body(new(OURS).content)
        event = api_event("POST", "/exams", headers={"Content-Type": content_type}, body=body)
        return answered(lambda: upload.lambda_handler(event, None))

    def plain() -> float:
        prepared = stow_body(new(PLAIN).content)
        return seconds(lambda: servers.send(*prepared))

    def limit() -> float:
        file = new(LIMIT)
        prepared = stow_body(file.content)
        return seconds(lambda: _searched(apart, file) or apart.send(*prepared))

    times = in_turn({OURS: ours, PLAIN: plain, LIMIT: limit}, rounds=rounds, warm_up=3)
    servers.check_stored([file for files in sent.values() for file in files])
    return times, sent[OURS]


def _searched(servers: Servers, file: File) -> list[Any]:
    """Search the PACS for an instance, and make its digest meanwhile."""
    digest = _BESIDE.submit(lambda: hashlib.sha256(file.content).hexdigest())
    found = servers.search(file.instance_uid)
    digest.result()
    return found


def answered(call: Callable[[], dict[str, Any]]) -> float:
    answers: list[dict[str, Any]] = []
    cost = seconds(lambda: answers.append(call()))
    if answers[0]["statusCode"] != 200:
        raise RuntimeError(answers[0]["body"])
    return cost
