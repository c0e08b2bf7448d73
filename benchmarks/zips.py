"""A study as one ZIP: against the same files posted as forms, against plain senders, and its memory.

This part has an exam of 200 images of half a megabyte; `benchmarks.zips_many` compares another in the same way.

All sides start from S3: the ZIP there, or the files there one by one. Against the limit the bucket is also answered
from memory, since the emulator reads the whole ZIP for each range. Against plain senders it is also measured with
claims and registry from memory: the emulator's are programs on the same cores, those of AWS are not. What is recorded
of the upload as a whole still goes to the emulator. Each comparison has servers of its own, so that none has a PACS
that has stored and deleted more than another's. The memory of a ZIP of 2 GB takes minutes and is measured with
``ZIP_MEMORY=1``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks import senders
from benchmarks.files import File, Template, template
from benchmarks.invocations import invocations
from benchmarks.servers import Servers, running
from benchmarks.staging import Staged, check_ingested, make_stores, staged_files, staged_zip
from benchmarks.stores_in_memory import StoresInMemory
from benchmarks.table import Pairs, Row, in_child
from benchmarks.uploads import Side, best_of, ours, rounds_of

# A ZIP is read by one invocation with four connections; the aim is held against forms that have no more.
FORMS = "the same files by forms, one invocation after the other"
FORMS_AT_ONCE = "the same files by forms, two invocations at once"
# What is promised of an upload and needs no code of ours (docs/decisions/0016), with as many connections as ours.
_PROMISED = "requests from the ZIP, {} a request on 4 connections, with search, claims and registry"
LIMITS = {_PROMISED.format(number): senders.promised_zip(number, 4) for number in (20, 10)}
ONE_BY_ONE = "requests from the ZIP, one by one on 4 connections"
TOGETHER = "requests from the ZIP, 20 a request on 4 connections"
FROM_FILES = "requests from the files, 20 a request on 4 connections"
FROM_ZIP = {ONE_BY_ONE: senders.plain_zip(1, 4), TOGETHER: senders.plain_zip(20, 4)}
BUCKET, MEMORY = "bucket from memory", "bucket, claims and registry from memory"
ALL = (ONE_BY_ONE, TOGETHER, FROM_FILES)


@dataclass(frozen=True)
class Exam:
    """What is in a ZIP, and what it is compared with.

    Parameters
    ----------
    number, side
        How many images, and how many pixels each is wide and high.
    size
        Of one, for the table.
    rivals
        The plain senders that are tried.
    aim
        Against the best of them, with all stores from memory. With small files the promises weigh more (0016).
    rounds
        Of the two comparisons with a bucket from memory. A ZIP of one second takes 0.9 to 1.3 s from one round to
        another; the median of seven rounds was 1.01 to 1.21 of a plain sender's. Two sides of the same code, in one
        run of thirteen rounds, were at 1.08 and 1.16 of it.
    """

    number: int
    side: int
    size: str
    rivals: tuple[str, ...]
    aim: float | None
    rounds: int

    @property
    def name(self) -> str:
        """As the table names it."""
        return f"ingest_exam, ZIP of {self.number:,} × {self.size}"


EXAM = Exam(200, 512, "0.5 MB", ALL, 1.15, 21)
# Half a megabyte each: 2 GB.
FILES_OF_2_GB = 3900

_Stage = Callable[[], list[Staged]]


def measure() -> Iterator[Row]:
    if os.environ.get("ZIP_MEMORY"):
        with running() as servers:
            make_stores()
            yield from _memory(servers)
        return
    yield from compared(EXAM)


def compared(exam: Exam) -> Iterator[Row]:
    """Compare a ZIP with everything else, each time on servers of its own."""
    for step in (_limit, _from_memory, _beside_stores):
        with running() as servers:
            make_stores()
            yield from step(servers, exam, template(exam.side))


def _zip(series: Template, number: int) -> list[Staged]:
    return staged_zip(series.exam(number))


def _files(series: Template, number: int) -> list[Staged]:
    return staged_files(series.exam(number))


def _taken(stores: StoresInMemory, stage: _Stage) -> list[Staged]:
    staged = stage()
    stores.take(staged)
    return staged


def _limit(servers: Servers, exam: Exam, series: Template) -> Iterator[Row]:
    """Compare with the limit where the ZIP is in memory: the emulator reads all of it for each of our three ranges."""
    stores = StoresInMemory(tables=False)
    taken = partial(_taken, stores, partial(_zip, series, exam.number))
    sides = {"ZIP": Side(stores.used_by(senders.ours), taken, check_ingested)}
    limits = {name: Side(stores.used_by(send), taken) for name, send in LIMITS.items()}
    times = rounds_of(servers, sides | limits, exam.rounds)
    best = best_of(times, list(LIMITS))
    yield Pairs(times["ZIP"], times[best]).row(f"{exam.name}, {BUCKET}", best, aim=1.15)


def _from_memory(servers: Servers, exam: Exam, series: Template) -> Iterator[Row]:
    """Compare with the best plain sender where reading the ZIP, claims and registry need no other process."""
    stores = StoresInMemory()
    taken = partial(_taken, stores, partial(_zip, series, exam.number))

    def checked(servers: Servers, staged: Sequence[Staged]) -> None:
        files: list[File] = [file for upload in staged for file in upload.files]
        stores.check_written(files)
        for upload in staged:
            upload.check_ended()

    sides = {"ZIP": Side(stores.used_by(senders.ours), taken, checked)}
    plain = {rival: Side(stores.used_by(send), taken) for rival, send in FROM_ZIP.items() if rival in exam.rivals}
    times = rounds_of(servers, sides | plain, exam.rounds)
    best = best_of(times, list(plain))
    for rival in plain:
        row = Pairs(times["ZIP"], times[rival]).row
        yield row(f"{exam.name}, {MEMORY}", _marked(rival, best), aim=exam.aim if rival == best else None)


def _beside_stores(servers: Servers, exam: Exam, series: Template) -> Iterator[Row]:
    """Compare on the emulator's stores, which share the cores with everything else."""
    stage, files = partial(_zip, series, exam.number), partial(_files, series, exam.number)
    small, limit = f"ZIP of {exam.number // 10:,} × {exam.size}", next(iter(LIMITS))
    plain = {rival: Side(send, stage) for rival, send in FROM_ZIP.items()}
    plain[FROM_FILES] = Side(senders.plain(20, 4), files)
    with invocations() as send:
        sides = {
            "ZIP": ours(stage),
            FORMS: ours(files),
            FORMS_AT_ONCE: ours(files, send),
            limit: Side(LIMITS[limit], stage),
            small: ours(partial(_zip, series, exam.number // 10)),
        }
        times = rounds_of(servers, sides | {rival: plain[rival] for rival in exam.rivals})
    yield Pairs(times["ZIP"], times[FORMS]).row(exam.name, FORMS, aim=1.0)
    yield Pairs(times["ZIP"], times[FORMS_AT_ONCE]).row(exam.name, FORMS_AT_ONCE)
    yield Pairs(times["ZIP"], times[limit]).row(exam.name, limit)
    best = best_of(times, exam.rivals)
    for rival in exam.rivals:
        yield Pairs(times["ZIP"], times[rival]).row(exam.name, _marked(rival, best))
    yield Pairs(times["ZIP"], times[small]).row(exam.name, small, aim=11)


def _marked(rival: str, best: str) -> str:
    return f"{rival} (best plain sender)" if rival == best else rival


def _memory(servers: Servers) -> Iterator[Row]:
    series = template(512)
    small, large = staged_zip(series.exam(2)), staged_zip(series.exam(FILES_OF_2_GB))
    idle = in_child("benchmarks.staging:ingest_in_child", json.dumps(small[0].messages))
    full = in_child("benchmarks.staging:ingest_in_child", json.dumps(large[0].messages))
    check_ingested(servers, [*small, *large])
    yield Row("ingest_exam, ZIP of 2 GB: peak memory above", "a ZIP of 1 MB", full.peak - idle.peak, "MiB", aim=64)
