"""Stores that answer from memory give what S3 gives, and know what was not written."""

from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.files import File
from benchmarks.servers import Servers, WorkNotDone
from benchmarks.staging import Staged
from benchmarks.stores_in_memory import StoresInMemory
from dicom_service import aws
from tests.support import cloud as clouds

CONTENT = bytes(range(256)) * 10
FILE = File("1.2", "1.2.3", b"")
NOBODY = cast(Servers, None)


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("INSTANCES", "EXAMS", "UPLOADS"):
        monkeypatch.setenv(f"{name}_TABLE", name)
    with clouds.cloud(monkeypatch):
        clouds.bucket("bucket")
        # as the local stack is asked
        client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        client.put_object(Bucket="bucket", Key="k", Body=CONTENT)
        yield [cast(Staged, SimpleNamespace(bucket="bucket", keys=["k"], client=client))]


def test_ranges_are_answered_as_s3_answers_them(staged: Any) -> None:
    stores, seen = StoresInMemory(), []
    stores.take(staged)

    def read(_: Servers, uploads: Any) -> None:
        for wanted in ({}, {"Range": "bytes=100-199"}, {"Range": "bytes=2500-9999"}):
            answer = uploads[0].client.get_object(Bucket="bucket", Key="k", **wanted)
            status = answer["ResponseMetadata"]["HTTPStatusCode"]
            named = (answer["ContentLength"], answer.get("ContentRange"), answer["ETag"])
            seen.append((status, *named, answer["Body"].read()))

    read(NOBODY, staged)
    stores.used_by(read)(NOBODY, staged)
    assert seen[:3] == seen[3:]
    assert [len(entry[-1]) for entry in seen[:3]] == [2560, 100, 60]


@pytest.mark.parametrize(
    ("tables", "is_done"),
    [
        (["INSTANCES", "EXAMS"], True),
        (["INSTANCES"], False),
        (["EXAMS"], False),
        (["INSTANCES", "INSTANCES", "EXAMS"], False),
        ([], False),
    ],
)
def test_what_was_not_claimed_and_registered_once_is_work_not_done(
    staged: Any, tables: list[str], is_done: bool
) -> None:
    stores = StoresInMemory()

    def write(*_: Any) -> None:
        for table in tables:
            aws.transact([{"Put": _row(table)}])

    stores.used_by(write)(NOBODY, staged)
    if is_done:
        stores.check_written([FILE])
    else:
        with pytest.raises(WorkNotDone):
            stores.check_written([FILE])


def test_a_claim_that_goes_alone_counts_and_that_of_a_study_does_not(staged: Any) -> None:
    stores = StoresInMemory()

    def write(*_: Any) -> None:
        aws.dynamodb().put_item(**_row("INSTANCES"))
        aws.transact([{"Put": _row("INSTANCES", "#study")}, {"Put": _row("EXAMS")}])

    stores.used_by(write)(NOBODY, staged)
    stores.check_written([FILE])


def test_the_bucket_alone_is_answered_from_memory(staged: Any) -> None:
    stores, read = StoresInMemory(tables=False), []
    stores.take(staged)
    staged[0].client.delete_object(Bucket="bucket", Key="k")

    def send(_: Servers, uploads: Any) -> None:
        read.append(uploads[0].client.get_object(Bucket="bucket", Key="k")["Body"].read())
        with pytest.raises(ClientError, match="ResourceNotFound"):
            aws.transact([{"Put": _row("INSTANCES")}])
        with pytest.raises(ClientError, match="ResourceNotFound"):
            aws.dynamodb().put_item(**_row("INSTANCES"))

    stores.used_by(send)(NOBODY, staged)
    assert read == [CONTENT]
    # Afterwards nothing is.
    with pytest.raises(ClientError, match="NoSuchKey"):
        staged[0].client.get_object(Bucket="bucket", Key="k")


def test_an_object_that_was_not_wholly_read_from_memory_is_work_not_done(staged: Any) -> None:
    # GIVEN a sender that has a client of its own for all but the beginning
    stores, another = StoresInMemory(), boto3.client("s3")
    stores.take(staged)

    def send(_: Servers, uploads: Any) -> None:
        uploads[0].client.get_object(Bucket="bucket", Key="k", Range="bytes=0-99")["Body"].read()
        another.get_object(Bucket="bucket", Key="k")["Body"].read()

    # WHEN it reads THEN that is seen
    with pytest.raises(WorkNotDone):
        stores.used_by(send)(NOBODY, staged)


def _row(table: str, instance_uid: str = FILE.instance_uid) -> Any:
    return {"TableName": table, "Item": aws.to_item({"SOPInstanceUID": instance_uid})}
