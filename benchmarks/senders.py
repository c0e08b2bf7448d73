"""Other ways to bring objects from S3 to a PACS: what ingest is measured against. Each starts from the same objects."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from benchmarks.files import File
from benchmarks.servers import Servers, WorkNotDone, http_session, stow_body
from benchmarks.staging import Staged, ingest
from dicom_service import aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STORESCU = "/usr/bin/storescu"  # pynetdicom puts one of its own on the path
# A PACS may store some instances of a request and fail at others; its answer lists which it has (PS3.18 §10.5.3).
_STORED, _TRIES = "00081199", 3
Sender = Callable[[Servers, Sequence[Staged]], None]


def ours(_: Servers, staged: Sequence[Staged]) -> None:
    """The function of this service, one invocation after the other."""
    ingest(staged)


def plain(parts: int, connections: int) -> Sender:
    """`requests`, so many files a request, on so many connections; each connection reads what it sends from S3."""

    def send(servers: Servers, staged: Sequence[Staged]) -> None:
        post = _poster(servers)
        for upload in staged:
            batches = [upload.keys[start : start + parts] for start in range(0, len(upload.keys), parts)]
            with ThreadPoolExecutor(connections) as pool:
                list(pool.map(lambda keys, upload=upload: post(map(upload.fetch, keys)), batches))

    return send


def plain_zip(parts: int, connections: int) -> Sender:
    """`requests` likewise, from a ZIP that is read whole and unpacked in memory while the connections send."""

    def send(servers: Servers, staged: Sequence[Staged]) -> None:
        post = _poster(servers)
        _send_zip(staged, parts, connections, lambda _, batch: post(batch))

    return send


def promised_zip(parts: int, connections: int) -> Sender:
    """`plain_zip` with what is promised of an upload and no code of ours: the limit of what ingest can reach.

    Each request is preceded by one search of the whole PACS, and beside it one conditional transaction of an item for
    each file with its digest, and followed by the transaction that registers them.
    """

    def send(servers: Servers, staged: Sequence[Staged]) -> None:
        _send_zip(staged, parts, connections, _promised_step(servers, connections))

    return send


def promised(parts: int, connections: int) -> Sender:
    """`plain` with what is promised of an upload, likewise; of a staged file also its result, and its removal."""

    def send(servers: Servers, staged: Sequence[Staged]) -> None:
        step = _promised_step(servers, connections)
        for upload in staged:
            starts = range(0, len(upload.keys), parts)

            def one(start: int, upload: Staged = upload) -> None:
                keys, files = upload.keys[start : start + parts], upload.files[start : start + parts]
                step(files, [upload.fetch(key) for key in keys])
                _put_all(
                    os.environ["UPLOADS_TABLE"], [{"uploadId": "limit", "file": file.instance_uid} for file in files]
                )
                upload.client.delete_objects(
                    Bucket=upload.bucket, Delete={"Objects": upload.objects[start : start + parts]}
                )

            with ThreadPoolExecutor(connections) as pool:
                list(pool.map(one, starts))

    return send


def _promised_step(servers: Servers, connections: int) -> Callable[[Sequence[File], Sequence[bytes]], None]:
    post, beside = _poster(servers), ThreadPoolExecutor(connections)

    def step(files: Sequence[File], batch: Sequence[bytes]) -> None:
        items = [{"StudyInstanceUID": file.study_uid, "SOPInstanceUID": file.instance_uid} for file in files]
        claimed = beside.submit(_claim, items, batch)
        if servers.search(*(file.instance_uid for file in files)):
            raise WorkNotDone("the PACS has an instance before it was sent")
        claimed.result()
        post(batch)
        _put_all(os.environ["EXAMS_TABLE"], items)

    return step


def _send_zip(
    staged: Sequence[Staged],
    parts: int,
    connections: int,
    step: Callable[[Sequence[File], Sequence[bytes]], None],
) -> None:
    for upload in staged:
        archive = zipfile.ZipFile(io.BytesIO(upload.fetch(upload.keys[0])))
        sent: list[Future[None]] = []
        with ThreadPoolExecutor(connections) as pool:
            for start, batch in _batches(archive, parts):
                sent.append(pool.submit(step, upload.files[start : start + parts], batch))
        for each in sent:
            each.result()


def _claim(items: Sequence[Mapping[str, str]], batch: Sequence[bytes]) -> None:
    digests = [hashlib.sha256(content).hexdigest() for content in batch]
    claims = [{**item, "digest": digest} for item, digest in zip(items, digests, strict=True)]
    _put_all(os.environ["INSTANCES_TABLE"], claims)


def _put_all(table: str, items: Sequence[Mapping[str, str]]) -> None:
    condition = {"TableName": table, "ConditionExpression": "attribute_not_exists(arrivedAt)"}
    puts: list[Any] = [{"Put": {**condition, "Item": aws.to_item({**item, "arrivedAt": 1})}} for item in items]
    _dynamodb(os.environ["AWS_ENDPOINT_URL"]).transact_write_items(TransactItems=puts)


@cache
def _dynamodb(_: str) -> DynamoDBClient:
    """Return boto3's client as it comes, but that it leaves it to DynamoDB to check the items, as ours does.

    It is another one for each address: steps of a benchmark have servers of their own.
    """
    return boto3.client("dynamodb", config=Config(parameter_validation=False, max_pool_connections=32))


def _batches(archive: zipfile.ZipFile, parts: int) -> Iterator[tuple[int, list[bytes]]]:
    names = archive.namelist()
    for start in range(0, len(names), parts):
        yield start, [archive.read(name) for name in names[start : start + parts]]


def _poster(servers: Servers) -> Callable[[Iterable[bytes]], None]:
    local = threading.local()

    def post(files: Iterable[bytes]) -> None:
        sent = list(files)
        if not hasattr(local, "http"):
            local.http = http_session(servers.pacs)
        content_type, body = stow_body(*sent)
        headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
        for _ in range(_TRIES):
            answer = local.http.post(f"{servers.pacs.url}/studies", data=body, headers=headers, timeout=300)
            answer.raise_for_status()
            stored = len(answer.json().get(_STORED, {}).get("Value", []))
            if stored == len(sent):
                return
            print(f"  the PACS names {stored} of {len(sent)} instances as stored: again", file=sys.stderr, flush=True)
        raise WorkNotDone("the PACS does not store what a plain sender sends")

    return post


def dicomweb_client(servers: Servers, staged: Sequence[Staged]) -> None:
    """The library of that name, file by file."""
    import pydicom
    from dicomweb_client.api import DICOMwebClient

    client = DICOMwebClient(servers.pacs.url, session=servers.http)
    for upload in staged:
        for key in upload.keys:
            client.store_instances([pydicom.dcmread(io.BytesIO(upload.fetch(key)))])


def let_storescu_in(servers: Servers) -> None:
    """Tell the PACS who storescu is."""
    servers.orthanc("PUT", "/modalities/storescu", json={"AET": "STORESCU", "Host": "127.0.0.1", "Port": 104})


def storescu(servers: Servers, staged: Sequence[Staged]) -> None:
    """DCMTK's, one association, from files that were read from S3."""
    port = servers.orthanc("GET", "/system")["DicomPort"]
    for upload in staged:
        with tempfile.TemporaryDirectory() as folder:
            for number, key in enumerate(upload.keys):
                (Path(folder) / f"{number}.dcm").write_bytes(upload.fetch(key))
            command = [STORESCU, "+sd", "127.0.0.1", str(port), folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


_PIPE = """set -e
{
  printf -- '--body\\r\\nContent-Type: application/dicom\\r\\n\\r\\n'
  curl -sS --fail "$OBJECT"
  printf '\\r\\n--body--\\r\\n'
} | curl -sS --fail -u "$LOGIN" -X POST -T - -o /dev/null \\
  -H 'Transfer-Encoding:' -H "Content-Length: $LENGTH" -H 'Expect:' \\
  -H 'Content-Type: multipart/related; type="application/dicom"; boundary=body' \\
  -H 'Accept: application/dicom+json' "$STORE"
"""


_FRAME = len(b"--body\r\nContent-Type: application/dicom\r\n\r\n\r\n--body--\r\n")


def curl(servers: Servers, staged: Sequence[Staged]) -> None:
    """curl from S3 into curl to the PACS, of known length, since Orthanc takes chunks several times as slowly."""
    for upload in staged:
        for key in upload.keys:
            size = upload.client.head_object(Bucket=upload.bucket, Key=key)["ContentLength"]
            login = f"{servers.pacs.user}:{servers.pacs.password}"
            _run(_PIPE, upload, key, LENGTH=str(size + _FRAME), LOGIN=login, STORE=f"{servers.pacs.url}/studies")


def curl_promised(servers: Servers, staged: Sequence[Staged]) -> None:
    """`curl`, once the digest of each file is known, without which it cannot be claimed before it is sent."""
    for upload in staged:
        for key in upload.keys:
            _run('curl -sS --fail "$OBJECT" | openssl dgst -sha256', upload, key)
    curl(servers, staged)


def _run(script: str, upload: Staged, key: str, **variables: str) -> None:
    url = upload.client.generate_presigned_url("get_object", Params={"Bucket": upload.bucket, "Key": key})
    environment = {"PATH": "/usr/bin:/bin", "OBJECT": url, **variables}
    subprocess.run(["/bin/sh", "-c", script], env=environment, check=True, stdout=subprocess.DEVNULL)
