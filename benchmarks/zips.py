"""A study as one ZIP: against the same files posted as forms, against plain senders, and its memory.

All sides start from S3: the ZIP there, or the files there one by one. Against the limit the bucket is answered from
memory, since the emulator reads the whole ZIP for each range. Against plain senders it is also measured with claims and
registry from memory: the emulator's are programs on the same cores, those of AWS are not. What is recorded of the
upload as a whole still goes to the emulator. The memory of a ZIP of 2 GB takes minutes and is measured with
``ZIP_MEMORY=1``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks import senders
from benchmarks.files import File, Template, template
from benchmarks.invocations import invocations
from benchmarks.senders import Sender
from benchmarks.servers import Servers, running
from benchmarks.staging import Staged, check_ingested, make_stores, staged_files, staged_zip
from benchmarks.stores_in_memory import StoresInMemory
from benchmarks.table import Pairs, Row, in_child
from benchmarks.uploads import ROUNDS, Side, best_of, ours, rounds_of

# A ZIP is read by one invocation with four connections; the aim is held against forms that have no more.
FORMS = "the same files by forms, one invocation after the other"
FORMS_AT_ONCE = "the same files by forms, two invocations at once"
# What is promised of an upload and needs no code of ours (docs/decisions/0016).
LIMIT = "requests from the ZIP likewise, with search, claims and registry"
ONE_BY_ONE = "requests from the ZIP, one by one on 4 connections"
TOGETHER = "requests from the ZIP, 20 a request on 4 connections"
FROM_FILES = "requests from the files, 20 a request on 4 connections"
FROM_ZIP = {ONE_BY_ONE: senders.plain_zip(1, 4), TOGETHER: senders.plain_zip(20, 4)}
BUCKET, MEMORY = "bucket from memory", "bucket, claims and registry from memory"
ALL = (ONE_BY_ONE, TOGETHER, FROM_FILES)
# The last is the aim against plain senders from memory: with small files, the promises weigh more (0016).
# Small files one by one take longer than together.
ZIPS = ((200, 512, "0.5 MB", ALL, 1.15), (2000, 128, "33 kB", (TOGETHER,), None))
# Of one second each, in which the processors' time alone is compared: of seven, the median is 1.01 to 1.21.
ROUNDS_FROM_MEMORY = 15
# Half a megabyte each: 2 GB.
FILES_OF_2_GB = 3900

_Stage = Callable[[], list[Staged]]


def measure() -> Iterator[Row]:
    with running() as servers:
        make_stores()
        if os.environ.get("ZIP_MEMORY"):
            yield from _memory(servers)
            return
        for number, side, size, rivals, aim in ZIPS:
            name = f"ingest_exam, ZIP of {number:,} × {size}"
            series = template(side)
            with invocations() as send:
                yield from _beside_stores(servers, send, number, series, name, rivals)
            yield _limit(servers, partial(_zip, series, number), name)
            yield from _from_memory(servers, partial(_zip, series, number), name, rivals, aim)


def _zip(series: Template, number: int) -> list[Staged]:
    return staged_zip(series.exam(number))


def _files(series: Template, number: int) -> list[Staged]:
    return staged_files(series.exam(number))


def _taken(stores: StoresInMemory, stage: _Stage) -> list[Staged]:
    staged = stage()
    stores.take(staged)
    return staged


def _beside_stores(
    servers: Servers, at_once: Sender, number: int, series: Template, name: str, rivals: Sequence[str]
) -> Iterator[Row]:
    """Compare on the emulator's stores, which share the cores with everything else."""
    stage, small = partial(_zip, series, number), f"ZIP of {number // 10:,}"
    files = partial(_files, series, number)
    plain = {rival: Side(send, stage) for rival, send in FROM_ZIP.items()}
    plain[FROM_FILES] = Side(senders.plain(20, 4), files)
    sides = {
        "ZIP": ours(stage),
        FORMS: ours(files),
        FORMS_AT_ONCE: ours(files, at_once),
        small: ours(partial(_zip, series, number // 10)),
    }
    times = rounds_of(servers, sides | {rival: plain[rival] for rival in rivals})
    yield Pairs(times["ZIP"], times[FORMS]).row(name, FORMS, aim=1.0)
    yield Pairs(times["ZIP"], times[FORMS_AT_ONCE]).row(name, FORMS_AT_ONCE)
    best = best_of(times, rivals)
    for rival in rivals:
        yield Pairs(times["ZIP"], times[rival]).row(name, _marked(rival, best))
    yield Pairs(times["ZIP"], times[small]).row(name, small, aim=11)


def _limit(servers: Servers, stage: _Stage, name: str) -> Row:
    """Compare with the limit where the ZIP is in memory: the emulator reads all of it for each of our three ranges."""
    stores = StoresInMemory(tables=False)
    taken = partial(_taken, stores, stage)
    sides = {
        "ZIP": Side(stores.used_by(senders.ours), taken, check_ingested),
        LIMIT: Side(stores.used_by(senders.promised_zip(20, 4)), taken),
    }
    times = rounds_of(servers, sides, ROUNDS + 2)
    return Pairs(times["ZIP"], times[LIMIT]).row(f"{name}, {BUCKET}", LIMIT, aim=1.15)


def _from_memory(servers: Servers, stage: _Stage, name: str, rivals: Sequence[str], aim: float | None) -> Iterator[Row]:
    """Compare with the best plain sender where reading the ZIP, claims and registry take no core but the own."""
    stores = StoresInMemory()
    taken = partial(_taken, stores, stage)

    def checked(servers: Servers, staged: Sequence[Staged]) -> None:
        files: list[File] = [file for upload in staged for file in upload.files]
        stores.check_written(files)
        for upload in staged:
            upload.check_ended()

    sides = {"ZIP": Side(stores.used_by(senders.ours), taken, checked)}
    plain = {rival: Side(stores.used_by(send), taken) for rival, send in FROM_ZIP.items() if rival in rivals}
    times = rounds_of(servers, sides | plain, ROUNDS_FROM_MEMORY if aim else ROUNDS)
    best = best_of(times, list(plain))
    for rival in plain:
        row = Pairs(times["ZIP"], times[rival]).row
        yield row(f"{name}, {MEMORY}", _marked(rival, best), aim=aim if rival == best else None)


def _marked(rival: str, best: str) -> str:
    return f"{rival} (best plain sender)" if rival == best else rival


def _memory(servers: Servers) -> Iterator[Row]:
    series = template(512)
    small, large = staged_zip(series.exam(2)), staged_zip(series.exam(FILES_OF_2_GB))
    idle = in_child("benchmarks.staging:ingest_in_child", json.dumps(small[0].messages))
    full = in_child("benchmarks.staging:ingest_in_child", json.dumps(large[0].messages))
    check_ingested(servers, [*small, *large])
    yield Row("ingest_exam, ZIP of 2 GB: peak memory above", "a ZIP of 1 MB", full.peak - idle.peak, "MiB", aim=64)
