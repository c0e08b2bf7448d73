"""ZIPs cost what they are worth, and what is wrong with them is an error of theirs."""

import bz2
import io
import lzma
import os
import struct
import zipfile
from typing import Any

import pytest

from dicom_service.element_walk import NotDicom
from dicom_service.ingest import unpack as unpacking
from dicom_service.ingest.s3source import S3Source
from dicom_service.ingest.unpack import Work, unpack
from dicom_service.ingest.zip_reader import SMALL_ENTRY, Limits, ZipRejected, looks_like_zip, walk
from dicom_service.part10 import BytesSource, read_header
from dicom_service.uploads.staged_object import parse_event
from tests.support.damaged_zips import DAMAGES, random_damage
from tests.support.hostile_zips import hostile_large, hostile_nested, hostile_shared
from tests.support.s3 import FaultyS3
from tests.support.upload_files import ROOT, dicom, uid, zipped
from tests.support.uploads import World

SOAK = bool(os.environ.get("SOAK"))
MIB = 1024 * 1024


def test_a_damaged_entry_ends_and_the_good_one_beside_it_is_stored(world: World) -> None:
    # GIVEN ZIPs of a damaged and a good entry, each damaged in its own way, and a good file
    studies = [f"{ROOT}.5.{number}" for number in range(1, len(DAMAGES) + 1)]
    made = [make(study) for make, study in zip(DAMAGES.values(), studies, strict=True)]
    upload_id = world.open([*made, dicom(9)])

    # WHEN they are delivered once
    assert world.deliver(world.events("uploads/")) == []

    # THEN each says so, the good ones are stored, and the upload has ended
    progress = world.progress(upload_id)
    told = {name: file.get("reasons") for name, file in zip(DAMAGES, progress["files"], strict=False)}
    assert len(told) >= 28
    assert {name: reasons for name, reasons in told.items() if reasons != {"ZIP_DAMAGED": 1}} == {}
    assert sorted(world.pacs.stored) == sorted([*(f"{study}.1.2" for study in studies), uid(9)])
    assert progress["state"] == "completed"


def test_random_damage_is_an_error_of_the_zip() -> None:
    # GIVEN ZIPs of every packing with bytes changed anywhere
    seeds = 5000 if SOAK else 400
    refused = good = 0
    for seed in range(seeds):
        content = random_damage(seed)
        if not looks_like_zip(BytesSource(content)):
            continue
        try:
            # WHEN they are read to the end, THEN no other error comes out of them
            for entry in walk(BytesSource(content), Limits()):
                try:
                    if entry.error:
                        raise entry.error
                    read_header(entry.source())
                    good += 1
                except (ZipRejected, NotDicom):
                    refused += 1
        except ZipRejected:
            refused += 1

    print(f"damaged ZIPs: {seeds}, refused {refused}, entries still good {good}")
    assert refused >= seeds // 2
    assert good >= seeds // 10


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_packing_is_unpacked_in_small_pieces(method: int) -> None:
    # GIVEN 2 MB that pack well, and pieces of 1,000 bytes to 8 MiB
    content = b"".join(number.to_bytes(4, "big") for number in range(MIB // 2))
    packed = zipped({"a": content}, method=method)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        info = archive.getinfo("a")

    for piece in (1000, MIB, SMALL_ENTRY):
        work = Work(len(packed), len(content))
        pieces = list(unpack(BytesSource(packed), info, work, piece=piece))
        assert b"".join(pieces) == content
        assert max(map(len, pieces)) <= piece


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_few_bytes_that_stand_for_megabytes_are_not_unpacked_at_once(
    method: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN an entry of 300 bytes, as it says, whose packed bytes stand for 30 MB
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, archive.open("a", "w") as file:
        for _ in range(30):
            file.write(bytes(MIB))
    data = bytearray(buffer.getvalue())
    struct.pack_into("<L", data, data.index(b"PK\1\2") + 24, 300)
    made: list[int] = []
    decode = unpacking._Block.decode

    def counted(self: Any, packed: bytes, most: int) -> bytes:
        out = decode(self, packed, most)
        made.append(len(out))
        return out

    monkeypatch.setattr(unpacking._Block, "decode", counted)

    [entry] = walk(BytesSource(bytes(data)), Limits())
    with pytest.raises(ZipRejected):
        entry.source()

    assert 0 < sum(made) <= 1000


def test_a_zip_in_a_zip_is_read_once(world: World) -> None:
    # GIVEN 128 slices, zipped twice, the outer ZIP deflated
    slices = {f"IM{n}": dicom(n, pixels=0) + os.urandom(1) * 0 for n in range(128)}
    slices = {
        name: content[:-4] + (250_000).to_bytes(4, "little") + os.urandom(250_000) for name, content in slices.items()
    }
    content = zipped({"study.zip": zipped(slices)})
    world.put("drop/a", content)
    s3: Any = FaultyS3(world.s3)
    source = S3Source(s3, parse_event(world.events("drop/a")[0]))

    seen = 0
    for entry in walk(source, Limits()):
        assert read_header(entry.source()).sop_class_uid
        seen += 1

    assert seen == 128
    print(f"128 slices zipped twice: {s3.bytes_read / len(content):.2f} times the size, {s3.requests} requests")
    assert s3.bytes_read <= 2.5 * len(content)
    assert s3.requests <= 40


@pytest.mark.parametrize("make", [hostile_nested, hostile_shared, hostile_large])
def test_a_hostile_zip_costs_no_more_than_its_unpacked_size(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a ZIP of less than 1.5 MB that makes a reader go back, or shares its bytes
    content = make()
    assert len(content) < 1_500_000
    works: list[Work] = []
    start = Work.__init__

    def remembered(self: Work, *args: int, **more: int) -> None:
        start(self, *args, **more)
        works.append(self)

    monkeypatch.setattr(Work, "__init__", remembered)

    # WHEN it is read to its end
    seen = 0
    for entry in walk(BytesSource(content), Limits()):
        seen += 1
        try:
            if entry.error:
                raise entry.error
            read_header(entry.source())
        except (ZipRejected, NotDicom):
            pass

    # THEN what was unpacked is what it holds, and what was read is what it is, with an allowance
    [work] = works
    assert seen >= 1
    print(f"{make.__name__}: {len(content)} bytes, read {work.read}, made {work.made}")
    assert work.made <= 2 * work.unpacked + 17 * MIB <= 300 * MIB
    assert work.read <= 2 * work.packed + 17 * MIB


def test_an_entry_that_does_not_fit_into_the_room_is_refused_and_its_room_is_given_back(world: World) -> None:
    # GIVEN two large entries, of which each fits and both do not, and one that does not
    large = {name: dicom(n, pixels=n * 9 * MIB) for n, name in ((1, "a"), (1, "b"), (3, "c"))}
    fates = []
    for entry in walk(BytesSource(zipped(large)), Limits(spool=12 * MIB)):
        try:
            fates.append(read_header(entry.source()).sop_instance_uid)
        except ZipRejected as error:
            fates.append(error.reason)

    assert fates == [uid(1), uid(1), "ZIP_BOMB"]


def test_the_names_of_decoders_errors_are_complete() -> None:
    """What the decoders raise is what `unpack` catches."""
    raised = []
    for decoder, data in ((bz2.BZ2Decompressor(), b"XXXX"), (lzma.LZMADecompressor(), b"XXXXXXXXXXXXX")):
        with pytest.raises(unpacking._DAMAGED) as caught:
            decoder.decompress(data)
        raised.append(caught.type)
    assert len(raised) == 2
