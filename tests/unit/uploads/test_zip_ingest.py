"""ZIPs: limits while unpacking, memory, and work that goes on where it stopped."""

import io
import itertools
import struct
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from dicom_service import aws
from dicom_service.audit.arrivals import Arrivals
from dicom_service.aws.sqs_worker import read_messages
from dicom_service.element_walk import ObjectMissing
from dicom_service.errors import Unavailable
from dicom_service.ingest import zip_ingest
from dicom_service.ingest.zip_reader import Entry, Limits, ZipRejected, walk
from dicom_service.part10 import BytesSource
from dicom_service.uploads.table import read_entries
from dicomweb.client import StorePart
from tests.support.s3 import FaultyS3
from tests.support.upload_files import dicom, uid, zipped
from tests.support.uploads import World

MIB = 1024 * 1024


def test_a_long_zip_is_worked_off_in_several_invocations(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a ZIP of several stretches, and invocations with time for two
    monkeypatch.setattr(zip_ingest, "STRETCH_ENTRIES", 4)
    upload_id = world.open([zipped({f"IM{n:02}": dicom(n) for n in range(19)})])
    bodies = world.events("uploads/")
    ticks = iter(range(0, 10_000, 250))
    ingest = replace(world.zip_ingest(), clock=lambda: float(next(ticks)))
    sqs = world.queues.zips
    rounds = 0

    # WHEN each hands on what is left
    while bodies:
        rounds += 1
        records = [
            {
                "messageId": str(number),
                "receiptHandle": "none",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            for number, body in enumerate(bodies)
        ]
        assert ingest.handle(read_messages({"Records": records}), seconds_left=900) == []
        found = aws.sqs().receive_message(QueueUrl=sqs).get("Messages", [])
        bodies = [message["Body"] for message in found]
        for message in found:
            aws.sqs().delete_message(QueueUrl=sqs, ReceiptHandle=message["ReceiptHandle"])

    # THEN all is stored, and no entry was sent twice
    progress = world.progress(upload_id)
    assert rounds == 3
    assert progress["state"] == "completed"
    assert progress["instances"] == 19 == sum(world.pacs.requests)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(entries=4), "ZIP_TOO_MANY_ENTRIES"),
        (Limits(unpacked=1000), "ZIP_BOMB"),
    ],
)
def test_limits_hold_before_the_first_entry(limits: Limits, reason: str) -> None:
    content = zipped({f"IM{n}": dicom(n) for n in range(5)})

    with pytest.raises(ZipRejected) as refused:
        next(walk(BytesSource(content), limits))

    assert refused.value.reason == reason


def test_zips_within_count_against_the_same_limits() -> None:
    inner = zipped({f"IM{n}": dicom(n) for n in range(5)})
    entries = list(walk(BytesSource(zipped({"a.zip": inner, "b.zip": inner})), Limits(entries=9)))

    # THEN the first is read, the second is refused
    assert [entry.error.reason if entry.error else None for entry in entries] == [None] * 5 + ["ZIP_TOO_MANY_ENTRIES"]


def test_a_table_of_contents_without_end_is_not_read() -> None:
    # GIVEN an end record that claims a table of contents of 100 MB, which is there
    size = 100 * MIB
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, size, 4, 0)

    class Endless:
        def __init__(self) -> None:
            self.size = 4 + size + len(end)
            self.largest = 0

        def read(self, offset: int, length: int) -> bytes:
            self.largest = max(self.largest, length)
            data = b"PK\3\4" if offset == 0 else b""
            tail = offset - (self.size - len(end))
            return end[max(0, tail) : max(0, tail) + length] if tail > -70_000 else (data + bytes(length))[:length]

    source = Endless()
    with pytest.raises(ZipRejected) as refused:
        list(walk(source, Limits()))

    assert refused.value.reason == "ZIP_TOO_MANY_ENTRIES"
    assert source.largest < 5 * MIB


def test_damage_within_an_entry_is_found_before_it_is_sent(world: World) -> None:
    # GIVEN a small and a large stored entry with a flipped bit, and a good one
    content = bytearray(
        zipped(
            {"small": dicom(1, pixels=5000), "large": dicom(2, pixels=10 * MIB), "good": dicom(3)},
            method=zipfile.ZIP_STORED,
        )
    )
    content[4000] ^= 1
    content[5 * MIB] ^= 1
    upload_id = world.open([bytes(content)])

    assert world.deliver(world.events("uploads/")) == []

    assert list(world.pacs.stored) == [uid(3)]
    file = world.progress(upload_id)["files"][0]
    assert file["reasons"] == {"ZIP_DAMAGED": 2}


def test_an_encrypted_entry_is_named() -> None:
    content = bytearray(zipped({"a": dicom(1)}))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1

    entries = list(walk(BytesSource(bytes(content)), Limits()))

    assert [entry.error.reason for entry in entries if entry.error] == ["ZIP_ENCRYPTED"]


def test_entries_have_the_same_numbers_whenever_the_zip_is_read() -> None:
    inner = zipped({f"N{n}": dicom(10 + n) for n in range(3)})
    content = zipped({"a": dicom(1), "in.zip": inner, "z": dicom(2)})

    names = [(entry.number, entry.name) for entry in walk(BytesSource(content), Limits())]
    later = [(entry.number, entry.name) for entry in walk(BytesSource(content), Limits(), first=2)]

    assert [number for number, _ in names] == [0, 1, 2, 3, 4]
    assert later == names[2:]


def test_a_dicom_file_that_pretends_to_be_a_zip_is_dicom(world: World) -> None:
    preamble = b"PK\3\4" + bytes(124)
    world.put("drop/a", dicom(1, preamble=preamble))

    world.deliver(world.events("drop/"))

    assert world.pacs.stored[uid(1)] == dicom(1)


def test_a_zip_whose_entries_cannot_be_stored_now_is_tried_again_and_given_up_late(world: World) -> None:
    # GIVEN a PACS that fails to process one entry again and again
    world.pacs.refuse[uid(2)] = 0x0110
    buffer = io.BytesIO(zipped({"a": dicom(1), "b": dicom(2)}))
    upload_id = world.open([buffer.getvalue()])
    bodies = world.events("uploads/")

    tries = 0
    while bodies:
        tries += 1
        bodies = world.deliver(bodies)

    file = world.progress(upload_id)["files"][0]
    assert tries == 10
    assert (file["state"], file["reasons"]) == ("partly-stored", {"PACS_PROCESSING_FAILURE": 1})


def test_no_connection_waits_for_the_end_of_a_stretch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a PACS that answers to the last request of the first stretch only once one of the second has come
    monkeypatch.setattr(zip_ingest, "STRETCH_ENTRIES", 4)
    second_has_come = threading.Event()
    in_time = []

    def before(parts: Sequence[StorePart]) -> None:
        uids = {part.sop_instance_uid for part in parts}
        if uid(4) in uids:
            second_has_come.set()
        if uid(3) in uids:
            in_time.append(second_has_come.wait(10))

    world.pacs.before = before
    upload_id = world.open([zipped({f"IM{n:02}": dicom(n) for n in range(8)})])

    assert world.deliver(world.events("uploads/"), batch_parts=2) == []

    assert in_time == [True]
    assert world.progress(upload_id)["counts"] == {"stored": 1}
    assert sorted(world.pacs.stored) == sorted(uid(n) for n in range(8))


def test_no_connection_waits_for_a_slower_one(world: World) -> None:
    # GIVEN a PACS that answers to the first request only once the last has come
    last_has_come = threading.Event()
    in_time = []

    def before(parts: Sequence[StorePart]) -> None:
        uids = {part.sop_instance_uid for part in parts}
        if uid(7) in uids:
            last_has_come.set()
        if uid(0) in uids:
            in_time.append(last_has_come.wait(10))

    world.pacs.before = before
    upload_id = world.open([zipped({f"IM{n:02}": dicom(n) for n in range(8)})])

    assert world.deliver(world.events("uploads/"), batch_parts=1, connections=2) == []

    assert in_time == [True]
    assert world.progress(upload_id)["counts"] == {"stored": 1}


def test_a_zip_that_is_worked_off_keeps_its_upload_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a ZIP of which each stretch takes ten minutes
    monkeypatch.setattr(zip_ingest, "STRETCH_ENTRIES", 2)
    seen = []

    def before(parts: Sequence[StorePart]) -> None:
        seen.append((int(world.now), world.table().get(upload_id, "0001")["seenAt"]))  # type: ignore[index]
        world.now += 600

    world.pacs.before = before
    upload_id = world.open([zipped({f"IM{n:02}": dicom(n) for n in range(8)})])

    assert world.deliver(world.events("uploads/"), connections=1) == []

    # THEN it was seen since the stretch before the last began
    assert len(seen) == 4
    assert max(now - at for now, at in seen) <= 1200


def test_entries_are_recorded_in_order_though_a_later_stretch_was_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a PACS that cannot store an entry of the first stretch now
    monkeypatch.setattr(zip_ingest, "STRETCH_ENTRIES", 4)
    world.pacs.refuse[uid(2)] = 0x0110
    upload_id = world.open([zipped({f"IM{n:02}": dicom(n) for n in range(10)})])
    key = (upload_id, "0001")

    # WHEN the ZIP is tried THEN the second is with the PACS, and nothing is recorded
    again = world.deliver(world.events("uploads/"))
    assert len(again) == 1
    assert uid(7) in world.pacs.stored
    assert world.table().entries(key) == []
    registered = aws.dynamodb().scan(TableName=world.exam_settings.table)["Items"]
    assert uid(7) in {item["SOPInstanceUID"]["S"] for item in registered}

    # AND once the PACS can, all entries are recorded, each once
    world.pacs.refuse.clear()
    assert world.deliver(again) == []
    items = world.table().entries(key)
    assert [(item["start"], item["entries"], item["last"]) for item in items] == [
        (0, 4, False),
        (4, 4, False),
        (8, 2, True),
    ]
    names = [entry["name"] for item in items for entry in read_entries(item)]
    assert names == [f"IM{n:02}" for n in range(10)]


def test_a_zip_does_not_end_while_what_the_pacs_has_is_not_registered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a registry that does not answer, and a ZIP that is gone before its end
    upload_id = world.open([zipped({f"IM{n:02}": dicom(n) for n in range(4)})])
    bodies = world.events("uploads/")

    def cut_off(*args: Any, **options: Any) -> Iterator[Entry]:
        yield from itertools.islice(walk(*args, **options), 2)
        raise ObjectMissing("gone")

    with monkeypatch.context() as broken:
        broken.setattr(zip_ingest, "walk", cut_off)
        broken.setattr(zip_ingest, "RECORDED_AT_ONCE", 1)
        broken.setattr(Arrivals, "record", Mock(side_effect=Unavailable("The registry does not answer.")))
        # WHEN it is tried THEN it comes again
        again = world.deliver(bodies, batch_parts=1)
    assert list(world.pacs.stored) == [uid(0)]
    assert len(again) == 1
    assert world.progress(upload_id)["files"][0]["state"] == "received"

    # AND is registered then
    assert world.deliver(again) == []
    registered = aws.dynamodb().scan(TableName=world.exam_settings.table)["Items"]
    assert {uid(n) for n in range(4)} <= {item["SOPInstanceUID"]["S"] for item in registered}


def test_a_zip_is_read_by_one_body(world: World) -> None:
    content = zipped({f"IM{n:02}": dicom(n, pixels=300_000) for n in range(60)}, method=zipfile.ZIP_STORED)
    world.reads_from = s3 = FaultyS3(world.s3)
    world.open([content])

    assert world.deliver(world.events("uploads/")) == []

    # THEN one function saw by one request that it is a ZIP; of the other one brought its directory and one all the rest
    assert s3.requests == 3
    assert s3.bytes_read <= 1.2 * len(content)


def test_what_fails_ends_the_sending(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a table of claims that is not there, so that nothing may be sent
    monkeypatch.setattr(zip_ingest, "STRETCH_ENTRIES", 20)
    tried = []

    def before(parts: Sequence[StorePart]) -> None:
        tried.append(len(parts))
        raise Unavailable("The table does not answer.")

    world.pacs.before = before
    world.open([zipped({f"IM{n:02}": dicom(n) for n in range(40)})])
    bodies = world.events("uploads/")

    # THEN no more are tried than there are connections, and one more that was ready
    assert len(world.deliver(bodies, batch_parts=1, connections=2)) == 1
    assert len(tried) <= 4
