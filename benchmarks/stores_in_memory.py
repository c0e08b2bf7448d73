"""A bucket, claims and a registry that are answered from the memory of this process, at once and not by an emulator."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from benchmarks.files import File
from benchmarks.senders import Sender
from benchmarks.servers import Servers, WorkNotDone
from benchmarks.staging import Staged
from benchmarks.stand_ins import sdk_answer
from dicom_service import aws

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_JSON = {"Content-Type": "application/x-amz-json-1.0"}


class StoresInMemory:
    """Answers `GetObject` and, if it is to, the writes of claims and registry; everything else goes to the stores.

    That is what there is for each file. The SDK signs each request that is answered here, and reads and checks the
    answer as ever; only nothing is sent, so that it takes the processor's time and no other.

    Parameters
    ----------
    tables
        Whether claims and registry are answered from here too, or the bucket alone.
    """

    def __init__(self, *, tables: bool = True) -> None:
        self._tables = tables
        self._objects: dict[str, tuple[Mapping[str, str], bytes]] = {}
        self._written: list[bytes] = []
        self._read: Counter[str] = Counter()

    def take(self, staged: Sequence[Staged]) -> None:
        """Take the objects of these uploads into memory, in the place of those of the round before."""
        self._objects.clear()
        self._written.clear()
        self._read.clear()
        for upload in staged:
            for key in upload.keys:
                found = upload.client.get_object(Bucket=upload.bucket, Key=key)
                headers = found["ResponseMetadata"]["HTTPHeaders"]
                self._objects[f"/{upload.bucket}/{key}"] = headers, found["Body"].read()

    def used_by(self, send: Sender) -> Sender:
        """Return a sender whose requests are answered from here.

        It raises `WorkNotDone` where less was asked for here than the objects are long: the rest was read from the
        emulator, in another way. What is asked for here and read there as well goes unseen.
        """

        def sent(servers: Servers, staged: Sequence[Staged]) -> None:
            with self._answering(staged):
                send(servers, staged)
            if [path for path, (_, content) in self._objects.items() if self._read[path] < len(content)]:
                raise WorkNotDone("what was staged was not read from memory, or not all of it")

        return sent

    def check_written(self, files: Sequence[File]) -> None:
        """See that each file was claimed and registered, each once.

        Raises
        ------
        WorkNotDone
            It was not.
        """
        puts = [item["Put"] for body in self._written for item in json.loads(body)["TransactItems"] if "Put" in item]
        written = Counter((put["TableName"], put["Item"]["SOPInstanceUID"]["S"]) for put in puts)
        # The claim of a study is one more.
        written = Counter({key: count for key, count in written.items() if not key[1].startswith("#")})
        tables = os.environ["INSTANCES_TABLE"], os.environ["EXAMS_TABLE"]
        if written != Counter({(table, file.instance_uid): 1 for table in tables for file in files}):
            raise WorkNotDone(f"{len(files)} files were sent, {written.total()} claims and rows were written")

    @contextmanager
    def _answering(self, staged: Sequence[Staged]) -> Iterator[None]:
        # The stubs know no handler that returns something; botocore takes that for the answer.
        handlers: list[tuple[Any, str, Callable[..., AWSResponse | None]]] = [
            (aws.s3(), "before-send.s3.GetObject", self._object),
            *((upload.client, "before-send.s3.GetObject", self._object) for upload in staged),
        ]
        if self._tables:
            handlers += [
                (aws.dynamodb(), "before-send.dynamodb.TransactWriteItems", self._transaction),
                (aws.dynamodb(), "before-send.dynamodb.PutItem", self._claim),
            ]
        for client, event, handler in handlers:
            client.meta.events.register(event, handler)
        try:
            yield
        finally:
            for client, event, handler in handlers:
                client.meta.events.unregister(event, handler)

    def _object(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        path = urlsplit(request.url).path
        headers, content = self._objects[path]
        named: Any = request.headers.get("Range", "")
        wanted = _RANGE.fullmatch(named if isinstance(named, str) else named.decode())
        if wanted is None:
            self._read[path] += len(content)
            return sdk_answer(request.url, headers, content)
        start, end = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
        part = memoryview(content)[start : end + 1]
        self._read[path] += len(part)
        ranged = {"content-range": f"bytes {start}-{end}/{len(content)}", "content-length": str(len(part))}
        # A checksum is that of the whole.
        kept = {name: value for name, value in headers.items() if not name.lower().startswith("x-amz-checksum")}
        return sdk_answer(request.url, {**kept, **ranged}, part, status=206)

    def _transaction(self, request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        body = request.body
        if not isinstance(body, bytes) or os.environ["UPLOADS_TABLE"].encode() in body:
            return None
        self._written.append(body)
        return sdk_answer(request.url, _JSON, b"{}")

    def _claim(self, request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        """Answer a claim that goes alone, as one of a file that is left over does."""
        body = request.body
        if not isinstance(body, bytes) or os.environ["INSTANCES_TABLE"].encode() not in body:
            return None
        self._written.append(b'{"TransactItems": [{"Put": %s}]}' % body)
        return sdk_answer(request.url, _JSON, b"{}")
