"""One staged instance of a gigabyte to the PACS: against curl, and in memory.

Its limit is curl that has read the file once for its digest: a claim needs it before the first byte is sent
(docs/decisions/0025).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import IO

from benchmarks import senders
from benchmarks.files import File, new_uid
from benchmarks.retrieve import large_header
from benchmarks.servers import Servers, WorkNotDone, running
from benchmarks.staging import Staged, check_ingested, make_stores
from benchmarks.table import Pairs, Row, in_child
from benchmarks.uploads import OURS, Side, ours, rounds_of

ROUNDS = 3
GIBIBYTE = 1024**3
CURL, LIMIT = "curl from S3 | curl -T", "the same, once its digest is known"


def measure() -> Iterator[Row]:
    with running() as servers:
        make_stores()
        yield from _one_large(servers)


def _one_large(servers: Servers) -> Iterator[Row]:
    sides = {
        OURS: ours(_stage_large),
        CURL: Side(senders.curl, _stage_large),
        LIMIT: Side(senders.curl_promised, _stage_large),
    }
    times = rounds_of(servers, sides, ROUNDS, warm_up=0)
    yield Pairs(times[OURS], times[CURL]).row(f"{OURS}, one instance of 1 GiB", CURL)
    yield Pairs(times[OURS], times[LIMIT]).row(f"{OURS}, one instance of 1 GiB", LIMIT, aim=1.15)
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
