"""A file is made ready to be sent in one way, wherever it comes from."""

import struct
import zlib

import pytest

from dicom_service.element_walk import NotDicom
from dicom_service.ingest.s3source import S3Source
from dicom_service.ingest.zip_reader import Limits, walk
from dicom_service.part10 import BytesSource, read_header
from dicom_service.storing.outbound_instance import open_instance
from dicom_service.uploads.staged_object import parse_event
from tests.support.dicom_files import CT, EXPLICIT, element
from tests.support.upload_files import DEFLATED, dataset, deflated, dicom, text, uid, zipped
from tests.support.uploads import World


def deflated_with(meta: bytes) -> bytes:
    """A deflated file with this file meta information, whose group length is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(dataset()) + packer.flush()
    return b"MZ" * 64 + b"DICM" + element(0x00020000, b"UL", bytes(4)) + meta + body


@pytest.mark.parametrize("content", [dicom(1, preamble=b"MZ" * 64), deflated(1)], ids=["preamble", "deflated"])
def test_the_same_bytes_are_sent_whichever_way_a_file_comes(world: World, content: bytes) -> None:
    world.put("drop/a", content)
    [event] = world.events("drop/a")
    archive = walk(BytesSource(zipped({"a": content})), Limits())

    sources = (BytesSource(content), S3Source(world.s3, parse_event(event)), next(archive).source())
    instances = [open_instance(source) for source in sources]

    assert [b"".join(instance.stream()) for instance in instances] == [dicom(1)] * 3
    assert [instance.size for instance in instances] == [len(dicom(1))] * 3


@pytest.mark.parametrize("vr", ["UI", "UN"])
def test_of_the_file_meta_information_only_length_and_transfer_syntax_change(vr: str) -> None:
    before = element(0x00020001, b"OB", b"\0\1") + text(0x00020002, "UI", CT) + text(0x00020003, "UI", uid(1))
    after = text(0x00020016, "AE", "SENDER") + text(0x00020100, "UI", "1.2.3") + element(0x00020102, b"OB", b"private!")
    content = deflated_with(before + element(0x00020010, vr.encode(), DEFLATED.encode()) + after)

    sent = b"".join(open_instance(BytesSource(content)).stream())

    meta = before + text(0x00020010, "UI", EXPLICIT) + after
    length = element(0x00020000, b"UL", struct.pack("<I", len(meta)))
    assert sent == bytes(128) + b"DICM" + length + meta + dataset()
    assert read_header(BytesSource(sent)).sop_instance_uid == uid(1)


def test_file_meta_information_of_a_deflated_file_is_bounded() -> None:
    content = deflated_with(text(0x00020010, "UI", DEFLATED) + element(0x00020102, b"OB", bytes(2 << 20)))

    with pytest.raises(NotDicom) as rejected:
        open_instance(BytesSource(content))

    assert rejected.value.reason == "MALFORMED"
