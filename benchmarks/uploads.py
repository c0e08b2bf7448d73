"""Staged files to the PACS: many small ones against other senders, one of a gigabyte against curl, and how it grows.

Every side starts from the same objects in S3 and ends when the PACS has all of them, which is looked up after the clock
has stopped; each round has new instances.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from benchmarks import senders
from benchmarks.files import File, new_uid, template
from benchmarks.retrieve import large_header
from benchmarks.senders import Sender
from benchmarks.servers import Servers, WorkNotDone, running
from benchmarks.staging import Staged, check_ingested, make_stores, staged_files
from benchmarks.table import Pairs, Row, in_child, seconds

SLICES = 200
ROUNDS = 5
LARGE_ROUNDS = 3
SIDE = 512  # 512 × 512 × 2 bytes: half a megabyte
GIBIBYTE = 1024**3
OURS = "ingest_exam"
Side = tuple[Sender, Callable[[], list[Staged]]]


def measure() -> Iterator[Row]:
    with running() as servers:
        make_stores()
        yield from _many_small(servers)
        yield from _growth(servers)
        yield from _one_large(servers)


def rounds_of(
    servers: Servers, sides: Mapping[str, Side], rounds: int = ROUNDS, *, warm_up: int = 1
) -> dict[str, tuple[float, ...]]:
    """Time each side on objects of its own, A B C … then … C B A, so that a slow moment of the machine falls on all.

    The rounds of the warm-up are not counted. After each side, what it was to store is compared with what the PACS has;
    ours also with register, upload and bucket.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-warm_up, rounds):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            send, stage = sides[name]
            staged = stage()
            taken = seconds(lambda send=send, staged=staged: send(servers, staged))  # type: ignore[misc]
            if send is senders.ours:
                check_ingested(servers, staged)
            servers.check_stored(file for upload in staged for file in upload.files)
            if turn >= 0:
                times[name].append(taken)
    return {name: tuple(values) for name, values in times.items()}


def best_of(times: Mapping[str, Sequence[float]], names: Sequence[str]) -> str:
    """Return the side with the smallest median."""
    return min(names, key=lambda name: statistics.median(times[name]))


def _many_small(servers: Servers) -> Iterator[Row]:
    senders.let_storescu_in(servers)
    series = template(SIDE)
    sides: dict[str, Sender] = {
        OURS: senders.ours,
        "dicomweb-client, one by one": senders.dicomweb_client,
        "storescu, one association": senders.storescu,
        "requests, one by one": senders.plain(1, 1),
        "requests, one by one on 4 connections": senders.plain(1, 4),
        "requests, 20 a request on 4 connections": senders.plain(20, 4),
    }
    stage = lambda: staged_files(series.exam(SLICES))  # noqa: E731
    times = rounds_of(servers, {name: (send, stage) for name, send in sides.items()})
    rivals = [name for name in sides if name != OURS]
    best = best_of(times, [name for name in rivals if name.startswith("requests")])
    for name in rivals:
        aim = 1.0 if not name.startswith("requests") else 1.15 if name == best else None
        label = f"{name} (best plain sender)" if name == best else name
        yield Pairs(times[OURS], times[name]).row(f"{OURS}, {SLICES} CT slices of 0.5 MB", label, aim=aim)


def _growth(servers: Servers) -> Iterator[Row]:
    series = template(128)
    sides = {str(number): (senders.ours, _exam_of(series.exam, number)) for number in (1000, 100)}
    times = rounds_of(servers, sides)
    yield Pairs(times["1000"], times["100"]).row(f"{OURS}, 1,000 files of 33 kB", "100 files", aim=11)


def _exam_of(exam: Callable[[int], list[File]], number: int) -> Callable[[], list[Staged]]:
    return lambda: staged_files(exam(number))


def _one_large(servers: Servers) -> Iterator[Row]:
    sides: dict[str, Side] = {OURS: (senders.ours, _stage_large), "curl": (senders.curl, _stage_large)}
    times = rounds_of(servers, sides, LARGE_ROUNDS)
    yield Pairs(times[OURS], times["curl"]).row(f"{OURS}, one instance of 1 GiB", "curl from S3 | curl -T", aim=1 / 0.9)
    small, large = _large(1024 * 1024), _large(GIBIBYTE)
    idle = in_child("benchmarks.staging:ingest_in_child", json.dumps(small[0].messages))
    full = in_child("benchmarks.staging:ingest_in_child", json.dumps(large[0].messages))
    check_ingested(servers, [*small, *large])
    _check_content(servers, large[0].files[0], GIBIBYTE)
    yield Row(f"{OURS}, 1 GiB: peak memory above", "the function after 1 MiB", full.peak - idle.peak, "MiB", aim=64)


_BLOCK = bytes(range(256)) * 32_768


def _stage_large() -> list[Staged]:
    return _large(GIBIBYTE)


def _large(size: int) -> list[Staged]:
    file = File(new_uid(), new_uid(), b"")

    def write(target: IO[bytes]) -> None:
        target.writelines(_pieces(file, size))

    return [Staged([file], [write])]


def _pieces(file: File, size: int) -> Iterator[bytes]:
    # The series has the study's UID, so that the same bytes can be made again.
    yield large_header(file.study_uid, file.study_uid, file.instance_uid, frames=max(size >> 20, 1), pixel_bytes=size)
    for start in range(0, size, len(_BLOCK)):
        yield _BLOCK[: size - start]


def _check_content(servers: Servers, file: File, size: int) -> None:
    """Compare the PACS's digest of the file it has with the one of what was staged."""
    digest = hashlib.md5()
    for piece in _pieces(file, size):
        digest.update(piece)
    found = servers.orthanc("POST", "/tools/lookup", data=file.instance_uid)
    stored = servers.http.get(
        f"{servers.pacs.url.removesuffix('/dicom-web')}/instances/{found[0]['ID']}/attachments/dicom/md5", timeout=60
    )
    if stored.text != digest.hexdigest():
        raise WorkNotDone("the PACS has other bytes than were staged")
