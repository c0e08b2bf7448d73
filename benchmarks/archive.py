"""An exam as one ZIP in the bucket: against Orthanc's own archive by curl, and the memory of its build.

Ours has DICOMDIR, pictures and page in it, and goes on to S3; the other ends in a file. The memory of an exam of 5 GB
takes minutes and is measured with ``ARCHIVE_MEMORY=1``.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3

from benchmarks.files import new_uid, template
from benchmarks.retrieve import large_header
from benchmarks.servers import CACHE_BUCKET, Servers, WorkNotDone, function, running
from benchmarks.table import Row, in_child, pairs
from dicom_service import aws
from dicom_service.archive.table import READY, ArchivesTable
from tests.support.template import create_table

SLICES = 300
GIBIBYTE = 1024**3
LARGE = 5
_TABLE = "Archives"
_CHUNK = bytes(range(256)) * 4096


def measure() -> Iterator[Row]:
    with running() as servers:
        _make_stores()
        if os.environ.get("ARCHIVE_MEMORY"):
            yield _memory_of_large(servers)
            return
        series = template(512).own_study()
        files = [series.instance() for _ in range(SLICES)]
        for start in range(0, SLICES, 20):
            servers.store(*(file.content for file in files[start : start + 20]))
        size = sum(len(file.content) for file in files)
        study = series.study_uid
        measured = pairs(lambda: build(study), lambda: _curl(servers, study, SLICES), rounds=3)
        _check(study, SLICES, size)
        rates = [size / 1e6 / seconds for seconds in (*measured.ours, *measured.theirs)]
        half = len(measured.ours)
        ours, theirs = sorted(rates[:half])[half // 2], sorted(rates[half:])[half // 2]
        name = f"build_archive, {SLICES} CT slices of 0.5 MB"
        against = "curl of Orthanc's own archive"
        yield Row(name, against, ours, "MB/s", theirs, 1 / measured.ratio, 0.7, at_least=True)
        full = in_child("benchmarks.archive:build", study)
        yield Row(f"{name}: peak memory", "", full.peak, "MiB", aim=256)


def build(study_uid: str) -> int:
    """Have an archive built from its beginning, as the queue would."""
    table = ArchivesTable(_TABLE)
    token = uuid.uuid4().hex
    if not table.begin(study_uid, token, "service", table.get(study_uid)):
        raise WorkNotDone("another build has begun")

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 900_000

    record = {
        "messageId": token,
        "receiptHandle": "none",
        "body": json.dumps({"StudyInstanceUID": study_uid, "build": token}),
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    answer = function("build_archive").lambda_handler({"Records": [record]}, Context())
    found = table.get(study_uid)
    if answer["batchItemFailures"] or found is None or found.state != READY:
        raise WorkNotDone("the archive is not ready")
    return 0


def _check(study_uid: str, count: int, size: int) -> None:
    """Compare what is in the bucket with what was stored."""
    found = ArchivesTable(_TABLE).get(study_uid)
    if found is None:
        raise WorkNotDone("there is no archive")
    content = aws.s3().get_object(Bucket=CACHE_BUCKET, Key=found.key)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = [info for info in archive.infolist() if info.filename.startswith("DICOM/")]
        if archive.testzip() or len(infos) != count or sum(info.file_size for info in infos) < size:
            raise WorkNotDone("the archive is not what was stored")


def _curl(servers: Servers, study_uid: str, count: int) -> None:
    (entry,) = [one for one in servers.orthanc("POST", "/tools/lookup", data=study_uid) if one["Type"] == "Study"]
    url = servers.pacs.url.removesuffix("/dicom-web") + f"/studies/{entry['ID']}/archive"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "archive.zip"
        credentials = f"{servers.pacs.user}:{servers.pacs.password}"
        subprocess.run(["curl", "-sf", "-u", credentials, "-o", str(target), url], check=True, timeout=600)
        with zipfile.ZipFile(target) as archive:
            if len(archive.namelist()) != count:
                raise WorkNotDone("Orthanc's archive is not whole")


def _memory_of_large(servers: Servers) -> Row:
    study = new_uid()
    for _ in range(LARGE):
        _store_large(servers, (study, new_uid(), new_uid()))
    full = in_child("benchmarks.archive:build", study, env={"PACS_READ_TIMEOUT": "300", "PACS_TOTAL_TIMEOUT": "840"})
    found = ArchivesTable(_TABLE).get(study)
    if found is None or (found.state, found.total) != (READY, LARGE):
        raise WorkNotDone("the archive is not ready")
    return Row(f"build_archive, {LARGE} × 1 GiB: peak memory", "", full.peak, "MiB", aim=256)


def _store_large(servers: Servers, uids: tuple[str, str, str]) -> None:
    head = large_header(*uids, frames=GIBIBYTE >> 20, pixel_bytes=GIBIBYTE)
    before = b"--instance\r\nContent-Type: application/dicom\r\n\r\n" + head
    after = b"\r\n--instance--\r\n"

    class Body:
        def __len__(self) -> int:
            return len(before) + GIBIBYTE + len(after)

        def __iter__(self) -> Iterator[bytes]:
            yield before
            for start in range(0, GIBIBYTE, len(_CHUNK)):
                yield _CHUNK[: GIBIBYTE - start]
            yield after

    servers.send('multipart/related; type="application/dicom"; boundary=instance', Body())


def _make_stores() -> None:
    for resource, name in (("ArchivesTable", _TABLE), ("OtpsTable", "Otps")):
        create_table(boto3.client("dynamodb"), resource, name)
    queues: Sequence[tuple[str, str]] = (("ARCHIVE_QUEUE_URL", "archives"), ("DEAD_ARCHIVE_QUEUE_URL", "dead"))
    os.environ |= {name: boto3.client("sqs").create_queue(QueueName=queue)["QueueUrl"] for name, queue in queues}
    os.environ |= {"ARCHIVES_TABLE": _TABLE, "OTPS_TABLE": "Otps", "PACS_READ_TIMEOUT": "120"}
    os.environ |= {"PACS_TOTAL_TIMEOUT": "600"}
