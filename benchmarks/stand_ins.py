"""What stands for the stores where only the code around them is measured: for the bucket, or behind the AWS SDK."""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from urllib3 import HTTPResponse

from dicom_service import aws
from dicom_service.exams.dependencies import cache_settings
from dicom_service.origin_server.shared_cache import Entry, SharedCache

_FOLDER = "BENCHMARK_MEMORY"
# Files that are memory, which the processes of a pool share.
_MEMORY = Path("/dev/shm")


class NothingKept(SharedCache):
    """A bucket that is always empty."""

    def __init__(self) -> None:
        super().__init__(cache_settings())

    def get(self, key: str, make: Callable[[], Entry]) -> Entry:
        return self.put(key, make())

    def put(self, key: str, entry: Entry) -> Entry:
        """Keep nothing."""
        return entry.as_new()


@contextmanager
def memory() -> Iterator[None]:
    """Make the folder of what is answered from memory, for this process and those that it starts."""
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        os.environ[_FOLDER] = folder
        yield


def take_along(bucket: str, prefix: str) -> int:
    """Copy objects of the bucket into memory, with the headers of S3; return how many."""
    pages = aws.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    for key in keys:
        found = aws.s3().get_object(Bucket=bucket, Key=key)
        headers = json.dumps(found["ResponseMetadata"]["HTTPHeaders"]).encode()
        _place(f"/{bucket}/{key}").write_bytes(headers + b"\n" + found["Body"].read())
    return len(keys)


class AnsweredSdk:
    """While it is on, the SDK of this process gets objects from memory, and updates of DynamoDB are done at once.

    The SDK signs each request and reads and checks each answer as ever; only nothing is sent.
    """

    def __init__(self) -> None:
        self._is_on = False
        # The stubs know no handler that returns something; botocore takes that for the answer.
        aws.s3().meta.events.register("before-send.s3.GetObject", self._object)  # type: ignore[arg-type]
        aws.dynamodb().meta.events.register("before-send.dynamodb.UpdateItem", self._done)  # type: ignore[arg-type]

    def __enter__(self) -> None:
        self._is_on = True

    def __exit__(self, *_: object) -> None:
        self._is_on = False

    def _object(self, request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        if not self._is_on:
            return None
        with _place(urlsplit(request.url).path).open("rb") as file:
            headers = json.loads(file.readline())
            return sdk_answer(request.url, headers, file.read())

    def _done(self, request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        return sdk_answer(request.url, {"Content-Type": "application/x-amz-json-1.0"}, b"{}") if self._is_on else None


def sdk_answer(url: str, headers: Mapping[str, str], body: bytes | memoryview, *, status: int = 200) -> AWSResponse:
    """Return what the SDK takes for the answer of a store."""
    file = io.BytesIO(body) if isinstance(body, bytes) else io.BufferedReader(_Memory(body), 1024 * 1024)
    raw = HTTPResponse(file, headers, status, preload_content=False)
    return AWSResponse(url, status, HeadersDict(headers), raw)  # type: ignore[arg-type]


class _Memory(io.RawIOBase):
    """A part of what is in memory as a file, which is not copied until it is read."""

    def __init__(self, content: memoryview) -> None:
        self._left = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _place(key: str) -> Path:
    return Path(os.environ[_FOLDER], uuid.uuid5(uuid.NAMESPACE_URL, key).hex)
