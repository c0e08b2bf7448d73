"""ZIPs are handed over to a queue of their own: one message, nothing lost, and nothing read in vain."""

import hashlib
import random
import zipfile

import pytest

from dicom_service import aws
from dicom_service.aws import sqs_worker
from dicom_service.ingest.s3source import FIRST_BLOCK
from tests.support.upload_files import dicom, uid, zipped
from tests.support.uploads import World, ZipMessage

NOISE = random.Random(1).randbytes(FIRST_BLOCK)


def large_zip() -> bytes:
    content = {f"IM{number}": dicom(number, pixels=FIRST_BLOCK)[: -len(NOISE)] + NOISE for number in (1, 2, 3)}
    return zipped(content, method=zipfile.ZIP_STORED)


def announced(world: World, content: bytes, sha256: str) -> str:
    """An upload of one file with its digest."""
    upload_id = world.open([content])
    item = world.table().get(upload_id, "0001")
    assert item is not None
    aws.dynamodb().put_item(TableName="Uploads", Item=aws.to_item(item | {"sha256": sha256}))
    return upload_id


def test_a_zip_is_handed_over_by_one_message_and_a_file_beside_it_is_stored(world: World) -> None:
    # GIVEN a ZIP with its digest, whose event came twice, and a file beside it
    content = large_zip()
    upload_id = announced(world, content, hashlib.sha256(content).hexdigest())
    world.put("drop/beside", dicom(9))
    bodies = [*world.events("uploads/"), *world.events("uploads/"), *world.events("drop/")]

    # WHEN the ordinary function has them
    with world.bytes_read() as lengths:
        assert world.hand_to(world.ingest(), bodies) == []

    # THEN the ZIP was not read behind its first block, and its message is in the other queue, once
    assert sum(lengths) <= FIRST_BLOCK + len(dicom(9))
    assert list(world.pacs.stored) == [uid(9)]
    noted = world.table().get(upload_id, "0001")
    assert noted is not None
    assert noted["seenAt"] == int(world.now), "it holds its upload open"
    (message,) = world.handed_over()
    assert message == bodies[0]

    # AND the function of that queue stores what is in it
    assert world.deliver([message]) == []
    assert world.progress(upload_id)["counts"] == {"stored": 1}
    assert sorted(world.pacs.stored) == [uid(1), uid(2), uid(3), uid(9)]


def test_a_zip_with_other_bytes_than_announced_is_rejected_where_it_is_unpacked(world: World) -> None:
    upload_id = announced(world, large_zip(), hashlib.sha256(b"other").hexdigest())

    assert world.deliver(world.events("uploads/")) == []

    assert world.pacs.stored == {}
    assert world.progress(upload_id)["files"][0]["reason"] == "CHECKSUM_MISMATCH"


def test_a_zip_whose_queue_takes_no_message_comes_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_id = world.open([zipped({"IM1": dicom(1)}), dicom(2)])
    with monkeypatch.context() as broken:
        broken.setattr(sqs_worker, "requeue", lambda message, url: False)
        left = world.deliver(world.events("uploads/"))

    # THEN it alone comes again, and is stored once its queue works
    assert left == world.events(f"uploads/{upload_id}/0001")
    assert list(world.pacs.stored) == [uid(2)]
    assert world.deliver(left) == []
    assert world.progress(upload_id)["state"] == "completed"


def test_a_message_of_the_zip_queue_that_is_no_zip_is_stored_all_the_same(world: World) -> None:
    """Dead letters may be sent again to either queue."""
    world.open([dicom(1)])

    assert world.deliver([ZipMessage(body) for body in world.events("uploads/")]) == []

    assert list(world.pacs.stored) == [uid(1)]
