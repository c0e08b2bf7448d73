"""A study as one ZIP: against the same files posted as forms, against plain senders, and its memory.

All sides start from S3: the ZIP there, or the files there one by one. The memory of a ZIP of 2 GB takes minutes and is
measured with ``ZIP_MEMORY=1``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

from benchmarks import senders
from benchmarks.files import Template, template
from benchmarks.servers import Servers, running
from benchmarks.staging import Staged, check_ingested, make_stores, staged_files, staged_zip
from benchmarks.table import Pairs, Row, in_child
from benchmarks.uploads import ROUNDS, Side, best_of, rounds_of

FORMS = "the same files by forms"
# What is promised of an upload and needs no code of ours (docs/decisions/0016).
LIMIT = "requests from the ZIP likewise, with search, claims and registry"
# Half a megabyte each: 2 GB.
FILES_OF_2_GB = 3900


def measure() -> Iterator[Row]:
    with running() as servers:
        make_stores()
        if os.environ.get("ZIP_MEMORY"):
            yield from _memory(servers)
            return
        yield from _zip(servers, 200, template(512), "0.5 MB", others=True)
        yield from _zip(servers, 2000, template(128), "33 kB")


def _zip(servers: Servers, number: int, series: Template, size: str, *, others: bool = False) -> Iterator[Row]:
    def staged(stage: Callable[[list], list[Staged]], files: int = number) -> Callable[[], list[Staged]]:  # type: ignore[type-arg]
        return lambda: stage(series.exam(files))

    plain: dict[str, Side] = {
        "requests from the ZIP, 20 a request on 4 connections": (senders.plain_zip(20, 4), staged(staged_zip)),
    }
    if others:
        plain |= {
            "requests from the ZIP, one by one on 4 connections": (senders.plain_zip(1, 4), staged(staged_zip)),
            "requests from the files, 20 a request on 4 connections": (senders.plain(20, 4), staged(staged_files)),
        }
    small = f"ZIP of {number // 10:,}"
    times = rounds_of(
        servers,
        {
            "ZIP": (senders.ours, staged(staged_zip)),
            FORMS: (senders.ours, staged(staged_files)),
            small: (senders.ours, staged(staged_zip, number // 10)),
            LIMIT: (senders.promised_zip(20, 4), staged(staged_zip)),
            **plain,
        },
        ROUNDS,
        warm_up=int(others),
    )
    name = f"ingest_exam, ZIP of {number:,} × {size}"
    yield Pairs(times["ZIP"], times[FORMS]).row(name, FORMS, aim=1.0)
    best = best_of(times, list(plain))
    for rival in plain:
        label = f"{rival} (best plain sender)" if rival == best else rival
        yield Pairs(times["ZIP"], times[rival]).row(name, label)
    yield Pairs(times["ZIP"], times[LIMIT]).row(name, LIMIT, aim=1.15)
    yield Pairs(times["ZIP"], times[small]).row(name, small, aim=11)


def _memory(servers: Servers) -> Iterator[Row]:
    series = template(512)
    small, large = staged_zip(series.exam(2)), staged_zip(series.exam(FILES_OF_2_GB))
    idle = in_child("benchmarks.staging:ingest_in_child", json.dumps(small[0].messages))
    full = in_child("benchmarks.staging:ingest_in_child", json.dumps(large[0].messages))
    check_ingested(servers, [*small, *large])
    yield Row("ingest_exam, ZIP of 2 GB: peak memory above", "a ZIP of 1 MB", full.peak - idle.peak, "MiB", aim=64)
