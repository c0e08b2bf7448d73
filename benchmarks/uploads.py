"""Staged files to the PACS: many small ones against other senders, one of a gigabyte against curl, and how both grow.

Every side starts from the same objects in S3 and ends when the PACS has all of them; each round has new instances.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import requests

from benchmarks.files import Template, new_uid, template
from benchmarks.retrieve import large_header
from benchmarks.servers import Servers, function, running, stow_body
from benchmarks.table import Pairs, Row, in_child
from tests.support.template import create_table

SLICES = 200
ROUNDS = 5
SIDE = 512  # 512 × 512 × 2 bytes: half a megabyte
AT_ONCE = 4
BATCH = 100  # messages of one invocation, as template.yaml says
GIBIBYTE = 1024**3
STORESCU = "/usr/bin/storescu"  # pynetdicom puts one of its own on the path

Sender = Callable[[Servers, "Staged"], None]


class Staged:
    """Objects in the staging bucket that were announced by one upload, and the queue messages that tell of them."""

    def __init__(self, contents: Iterator[bytes], number: int) -> None:
        self.upload_id = uuid.uuid4().hex
        self.bucket = os.environ["STAGING_BUCKET"]
        self.keys = [f"uploads/{self.upload_id}/{place:04d}" for place in range(1, number + 1)]
        self.client = boto3.client("s3")
        entries = [self._put(key, content) for key, content in zip(self.keys, contents, strict=True)]
        self.messages = [_message(self.bucket, *entry) for entry in entries]
        self._announce()

    def _put(self, key: str, content: bytes) -> tuple[str, int, str]:
        etag = self.client.put_object(Bucket=self.bucket, Key=key, Body=content)["ETag"]
        return key, len(content), etag

    def _announce(self) -> None:
        from dicom_service.uploads.table import UploadsTable

        now = int(time.time())
        files = {key.rpartition("/")[2]: {"name": "slice", "size": 0, "state": "waiting"} for key in self.keys}
        upload = {"state": "open", "open": "open", "createdAt": now, "expiresAt": now + 3600, "files": len(files)}
        UploadsTable(os.environ["UPLOADS_TABLE"]).create(self.upload_id, upload, files)

    def fetch(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()


def measure() -> Iterator[Row]:
    with running() as servers:
        _make_stores()
        yield from _many_small(servers)
        yield from _growth(servers)
        yield from _one_large(servers)


def _let_storescu_in(servers: Servers) -> None:
    known = {"AET": "STORESCU", "Host": "127.0.0.1", "Port": 104}
    url = servers.pacs.url.replace("/dicom-web", "/modalities/storescu")
    servers.http.put(url, json=known, timeout=10).raise_for_status()


def _many_small(servers: Servers) -> Iterator[Row]:
    _let_storescu_in(servers)
    slice_template = template(SIDE)
    rivals: dict[str, Sender] = {
        "dicomweb-client, one by one": _dicomweb_client,
        "storescu, one association": _storescu,
        "requests, one by one": _plain(1, 1),
        f"requests, one by one on {AT_ONCE} connections": _plain(1, AT_ONCE),
        f"requests, 20 a request on {AT_ONCE} connections": _plain(20, AT_ONCE),
    }
    sides: dict[str, Sender] = {"": _ingest, **rivals}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-1, ROUNDS):
        # A B C … then … C B A, so that a slow moment of the machine falls on all.
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            staged = Staged(_slices(slice_template, SLICES), SLICES)
            seconds = _timed(lambda name=name, staged=staged: sides[name](servers, staged))  # type: ignore[misc]
            if turn >= 0:
                times[name].append(seconds)
    best = min(
        (name for name in rivals if name.startswith("requests")), key=lambda name: sorted(times[name])[ROUNDS // 2]
    )
    for name in rivals:
        aim = 1.0 if not name.startswith("requests") else 1 / 0.9 if name == best else None
        label = f"{name} (best plain variant)" if name == best else name
        yield Pairs(tuple(times[""]), tuple(times[name])).row(
            f"ingest_exam, {SLICES} CT slices of 0.5 MB", label, aim=aim
        )


def _growth(servers: Servers) -> Iterator[Row]:
    slice_template = template(128)
    few, many = [], []
    for turn in range(-1, 3):
        one = _timed_ingest(servers, Staged(_slices(slice_template, 100), 100))
        ten = sum(_timed_ingest(servers, Staged(_slices(slice_template, 100), 100)) for _ in range(10))
        if turn >= 0:
            few.append(one)
            many.append(ten)
    yield Pairs(tuple(many), tuple(few)).row("ingest_exam, 1,000 files of 33 kB", "100 files", aim=11)
    zipped = {number: _timed_ingest(servers, _zip(slice_template, number)) for number in (200, 200, 2000)}
    yield Row(
        "ingest_exam, ZIP of 2,000 files of 33 kB", "ZIP of 200", zipped[2000] * 1000, "ms", zipped[200] * 1000,
        zipped[2000] / zipped[200], 11,
    )  # fmt: skip


def _one_large(servers: Servers) -> Iterator[Row]:
    ratios = Pairs(*zip(*(_large_round(servers, turn) for turn in range(3)), strict=True))
    yield ratios.row("ingest_exam, one instance of 1 GiB", "curl -T of the same body", aim=1 / 0.9)
    small, large = _stage_large(1024 * 1024), _stage_large(GIBIBYTE)
    idle = in_child("benchmarks.uploads:ingest_in_child", json.dumps(small))
    full = in_child("benchmarks.uploads:ingest_in_child", json.dumps(large))
    yield Row("ingest_exam, 1 GiB: peak memory above", "the function after 1 MiB", full.peak - idle.peak, "MiB", aim=64)


def _large_round(servers: Servers, turn: int) -> tuple[float, float]:
    def ours() -> float:
        message = _stage_large(GIBIBYTE)
        return _timed(lambda: _invoke([message]))

    def theirs() -> float:
        with tempfile.TemporaryDirectory() as folder:
            body = Path(folder) / "body"
            _write_body(body, GIBIBYTE)
            return _timed(lambda: _curl(servers, body))

    first, second = (ours, theirs) if turn % 2 else (theirs, ours)
    results = {first: first(), second: second()}
    return results[ours], results[theirs]


def ingest_in_child(message: str) -> int:
    """Ingest one object in a process of its own."""
    _invoke([json.loads(message)])
    return 0


def _ingest(servers: Servers, staged: Staged) -> None:
    for start in range(0, len(staged.messages), BATCH):
        _invoke(staged.messages[start : start + BATCH])


def _invoke(messages: Sequence[dict[str, Any]]) -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 900_000

    answer = _function().lambda_handler({"Records": messages}, Context())
    if answer["batchItemFailures"]:
        raise RuntimeError(f"{len(answer['batchItemFailures'])} messages failed")


_loaded: list[Any] = []


def _function() -> Any:
    if not _loaded:
        _loaded.append(function("ingest_exam"))
    return _loaded[0]


def _timed_ingest(servers: Servers, staged: Staged) -> float:
    return _timed(lambda: _ingest(servers, staged))


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _plain(parts: int, connections: int) -> Sender:
    def send(servers: Servers, staged: Staged) -> None:
        local = threading.local()

        def store(keys: Sequence[str]) -> None:
            if not hasattr(local, "http"):
                local.http = requests.Session()
                local.http.auth = servers.http.auth
            content_type, body = stow_body(*(staged.fetch(key) for key in keys))
            headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
            local.http.post(f"{servers.pacs.url}/studies", data=body, headers=headers).raise_for_status()

        batches = [staged.keys[start : start + parts] for start in range(0, len(staged.keys), parts)]
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(store, batches))

    return send


def _dicomweb_client(servers: Servers, staged: Staged) -> None:
    import pydicom
    from dicomweb_client.api import DICOMwebClient

    client = DICOMwebClient(servers.pacs.url, session=servers.http)
    for key in staged.keys:
        client.store_instances([pydicom.dcmread(io.BytesIO(staged.fetch(key)))])


def _storescu(servers: Servers, staged: Staged) -> None:
    port = servers.http.get(servers.pacs.url.replace("/dicom-web", "/system"), timeout=10).json()["DicomPort"]
    with tempfile.TemporaryDirectory() as folder:
        for number, key in enumerate(staged.keys):
            (Path(folder) / f"{number}.dcm").write_bytes(staged.fetch(key))
        subprocess.run([STORESCU, "+sd", "127.0.0.1", str(port), folder], check=True, stdout=subprocess.DEVNULL)


def _curl(servers: Servers, body: Path) -> None:
    login = ":".join((servers.pacs.user, servers.pacs.password))
    command = ["curl", "-sS", "--fail", "-u", login, "-X", "POST", "-T", str(body), "-o", "/dev/null"]
    command += ["-H", 'Content-Type: multipart/related; type="application/dicom"; boundary=body', "-H", "Expect:"]
    command += ["-H", "Accept: application/dicom+json", f"{servers.pacs.url}/studies"]
    subprocess.run(command, check=True)


def _slices(base: Template, number: int) -> Iterator[bytes]:
    study, series = new_uid(), new_uid()
    exam = base.content.replace(base.study_uid.encode(), study.encode())
    exam = exam.replace(base.series_uid.encode(), series.encode())
    return (exam.replace(base.instance_uid.encode(), new_uid().encode()) for _ in range(number))


def _zip(base: Template, number: int) -> Staged:
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for place, content in zip(count(), _slices(base, number), strict=False):
            archive.writestr(f"IM{place}", content)
    return Staged(iter((buffer.getvalue(),)), 1)


_BLOCK = bytes(range(256)) * 32_768


def _pieces(size: int) -> Iterator[bytes]:
    yield large_header(new_uid(), new_uid(), new_uid(), frames=max(size >> 20, 1), pixel_bytes=size)
    for start in range(0, size, len(_BLOCK)):
        yield _BLOCK[: size - start]


def _write_body(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b"--body\r\nContent-Type: application/dicom\r\n\r\n")
        file.writelines(_pieces(size))
        file.write(b"\r\n--body--\r\n")


def _stage_large(size: int) -> dict[str, Any]:
    """Put a large instance under ``drop/``, by a file so that this process does not hold it; give its message."""
    client, bucket, key = boto3.client("s3"), os.environ["STAGING_BUCKET"], f"drop/{uuid.uuid4().hex}"
    with tempfile.TemporaryFile() as file:
        file.writelines(_pieces(size))
        file.seek(0)
        client.upload_fileobj(file, bucket, key)
    head = client.head_object(Bucket=bucket, Key=key)
    return _message(bucket, key, head["ContentLength"], head["ETag"])


def _message(bucket: str, key: str, size: int, etag: str) -> dict[str, Any]:
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "size": size, "etag": etag.strip('"')}}
    return {
        "messageId": uuid.uuid4().hex,
        "receiptHandle": "none",
        "body": json.dumps({"source": "aws.s3", "detail": detail}),
        "attributes": {"ApproximateReceiveCount": "1"},
    }


def _make_stores() -> None:
    """Make what the upload functions use beyond the stores of the exams, and name it in the environment."""
    for name in ("Uploads", "ExamEvents"):
        create_table(boto3.client("dynamodb"), f"{name}Table", name)
    client = boto3.client("s3")
    client.create_bucket(Bucket="benchmark-staging")
    client.put_bucket_versioning(Bucket="benchmark-staging", VersioningConfiguration={"Status": "Enabled"})
    os.environ |= {
        "UPLOADS_TABLE": "Uploads",
        "EXAM_EVENTS_TABLE": "ExamEvents",
        "STAGING_BUCKET": "benchmark-staging",
        "INGEST_QUEUE_URL": boto3.client("sqs").create_queue(QueueName="ingest")["QueueUrl"],
        "PACS_READ_TIMEOUT": "120",
        "PACS_TOTAL_TIMEOUT": "600",
    }
