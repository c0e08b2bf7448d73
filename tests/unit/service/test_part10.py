"""The header reader: right about whole files, and sure about broken ones."""

import io
import random
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom_service import part10
from dicom_service.element_walk import MAX_DEPTH, NotDicom, StorageError
from dicom_service.part10 import BytesSource, Header, inflate, read_header
from imaging.inflating import inflated
from imaging.source import inflate as imaging_inflate
from tests.support.dicom_files import EXPLICIT, IMPLICIT, dataset, element, nested
from tests.support.dicom_files import part10 as part10_file

DEFLATED = "1.2.840.10008.1.2.1.99"


def read(data: bytes, **options: int) -> Header:
    return read_header(BytesSource(data), **options)


def reason(data: bytes, **options: int) -> str:
    with pytest.raises(NotDicom) as caught:
        read(data, **options)
    return caught.value.reason


def sample(name: str) -> bytes:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "image_dfl.dcm",
        "emri_small_jpeg_2k_lossless.dcm",
        "rtplan.dcm",
        "reportsi.dcm",
        "JPEG2000.dcm",
        "UN_sequence.dcm",
    ],
)
def test_it_agrees_with_pydicom(name: str) -> None:
    data = sample(name)
    expected = dcmread(get_testdata_file(name))  # type: ignore[arg-type]
    if "SOPInstanceUID" not in expected:
        assert reason(data) == "NO_SOP_UIDS"
        return
    header = read(data)
    assert header.sop_instance_uid == expected.SOPInstanceUID
    assert header.study_instance_uid == expected.StudyInstanceUID
    assert header.series_instance_uid == expected.SeriesInstanceUID
    assert header.sop_class_uid == expected.SOPClassUID
    assert header.modality == expected.get("Modality", "")
    assert header.patient_id == (expected.get("PatientID") or "")
    assert header.transfer_syntax_uid == expected.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("implicit", [False, True])
def test_every_cut_is_noticed(implicit: bool) -> None:
    # GIVEN a file with pixel data, cut at each byte after its preamble
    pixels = element(0x7FE00010, b"OW", bytes(64), implicit=implicit)
    whole = part10_file(dataset(implicit=implicit) + pixels, IMPLICIT if implicit else EXPLICIT)
    assert read(whole).sop_instance_uid == "1.2.3.4.5"
    # THEN only cuts between two elements look whole, and those before the last UID do not pass either
    passed = [cut for cut in range(132, len(whole)) if _passes(whole[:cut])]
    assert passed == [len(whole) - len(pixels)]


def _passes(data: bytes) -> bool:
    try:
        read(data)
    except NotDicom:
        return False
    return True


def test_encapsulated_pixel_data_cut_in_a_fragment_is_noticed() -> None:
    data = sample("emri_small_jpeg_2k_lossless.dcm")
    assert reason(data[:-100]) == "TRUNCATED"
    assert reason(data[:-4]) == "TRUNCATED"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "EMPTY"),
        (b"a text file, nothing more\n" * 20, "NO_DICM"),
        (bytes(128) + b"DICM", "NO_TRANSFER_SYNTAX"),
        (bytes(128) + b"DICM" + b"garbage!" * 40, "NO_TRANSFER_SYNTAX"),
        (part10_file(dataset() + b"\x10\x00\x10\x00??garbage"), "MALFORMED"),
        (part10_file(dataset(SOPInstanceUID=None)), "NO_SOP_UIDS"),
        (part10_file(dataset(StudyInstanceUID=b"")), "NO_SOP_UIDS"),
        (part10_file(dataset(StudyInstanceUID=b"../../etc/passwd")), "INVALID_UID"),
        (part10_file(dataset(SOPInstanceUID=b"1." * 40 + b"1")), "INVALID_UID"),
        (part10_file(dataset(SOPClassUID=b"1.2.840.10008.1.3.10")), "DICOMDIR"),
    ],
    ids=["empty", "text", "meta missing", "garbage", "bad VR", "no UID", "empty UID", "path", "too long", "DICOMDIR"],
)
def test_what_cannot_be_stored_is_refused_by_name(data: bytes, expected: str) -> None:
    assert reason(data) == expected


def test_a_dicomdir_is_told_from_an_instance() -> None:
    assert reason(sample("DICOMDIR")) == "DICOMDIR"


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("defined", [False, True])
def test_deep_nesting_is_refused_and_ordinary_nesting_is_not(implicit: bool, defined: bool) -> None:
    syntax = IMPLICIT if implicit else EXPLICIT

    def file(depth: int) -> bytes:
        return part10_file(dataset(implicit=implicit) + nested(depth, implicit=implicit, defined=defined), syntax)

    assert read(file(MAX_DEPTH)).sop_instance_uid == "1.2.3.4.5"
    assert reason(file(MAX_DEPTH + 1)) == "TOO_DEEP"
    assert reason(file(1000)) == "TOO_DEEP"
    # AND the ceiling is the caller's to set
    assert read(file(60), max_depth=60).sop_instance_uid == "1.2.3.4.5"
    assert reason(file(17), max_depth=16) == "TOO_DEEP"


ITEM_IS_OPEN = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
ENDS = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)


def behind_a_second_element(depth: int) -> bytes:
    """Implicit VR, defined lengths: each sequence is the second element of its item."""
    heads, size = [], 0
    first = element(0x00080005, b"CS", b"ISO_IR 192", implicit=True)
    for _ in range(depth):
        head = element(0x00400260, b"SQ", b"", implicit=True, length=8 + len(first) + size)
        head += struct.pack("<HHI", 0xFFFE, 0xE000, len(first) + size) + first
        heads.append(head)
        size += len(head)
    return b"".join(reversed(heads))


def un_of_defined_length(depth: int) -> bytes:
    """Explicit VR: a sequence sent as UN, Implicit VR inside."""
    inner = behind_a_second_element(depth - 1)
    return element(0x00411060, b"UN", struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner)


def un_of_undefined_length(depth: int) -> bytes:
    tag, opened = struct.pack("<HH", 0x0041, 0x1060), b"\xff" * 4 + ITEM_IS_OPEN
    return tag + b"UN\0\0" + opened + (tag + opened) * (depth - 1) + ENDS * depth


def in_explicit_un(depth: int) -> bytes:
    """What the standard does not want: Explicit VR inside a UN."""
    inner = nested(depth - 1, defined=True)
    return element(0x00411060, b"UN", struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner)


@pytest.mark.parametrize(
    ("made", "syntax"),
    [
        (behind_a_second_element, IMPLICIT),
        (un_of_defined_length, EXPLICIT),
        (un_of_undefined_length, EXPLICIT),
        (in_explicit_un, EXPLICIT),
    ],
)
def test_nesting_is_found_in_whatever_form_it_hides(made: Callable[[int], bytes], syntax: str) -> None:
    def file(depth: int) -> bytes:
        return part10_file(dataset(implicit=syntax == IMPLICIT) + made(depth), syntax)

    assert read(file(MAX_DEPTH)).sop_instance_uid == "1.2.3.4.5"
    for depth in (MAX_DEPTH + 1, 50, 50_000):
        assert reason(file(depth)) == "TOO_DEEP"


def test_binary_values_that_begin_like_items_are_plain_values() -> None:
    # GIVEN values whose VR does not tell: an item's header, then noise; three levels of that; and one cut inside
    randomness = random.Random(11)
    for _ in range(300):
        noise = randomness.randbytes(2 * randomness.randint(4, 60))
        value = struct.pack("<HHI", 0xFFFE, 0xE000, randomness.choice((len(noise), 0xFFFFFFFF, 4))) + noise
        for wrapped in range(randomness.randint(0, 2)):
            value = struct.pack("<HHI", 0xFFFE, 0xE000, len(value) + 8 - wrapped) + bytes(8) + value
        for implicit in (False, True):
            private = element(0x00411060, b"UN", value, implicit=implicit)
            last = element(0x7FE00010, b"OW", bytes(8), implicit=implicit)
            whole = part10_file(dataset(implicit=implicit) + private + last, IMPLICIT if implicit else EXPLICIT)
            # THEN the file is read, to its end
            assert read(whole).sop_instance_uid == "1.2.3.4.5"
            assert reason(whole[:-1]) == "TRUNCATED"


@pytest.mark.parametrize("implicit", [False, True])
def test_an_element_that_names_the_instance_stands_once_and_in_its_place(implicit: bool) -> None:
    # Readers differ in which of two they believe: one would register the file under another exam than the PACS does.
    syntax = IMPLICIT if implicit else EXPLICIT
    names = {0x00080018: b"1.2.3.4.6", 0x0020000D: b"1.2.9", 0x0020000E: b"1.2.9.1"}
    for tag, uid in names.items():
        second = element(tag, b"UI", uid, implicit=implicit)
        assert reason(part10_file(dataset(implicit=implicit) + second, syntax)) == "MALFORMED"
        assert reason(part10_file(second + dataset(implicit=implicit), syntax)) == "MALFORMED"
    patient = element(0x00100020, b"LO", b"P-2", implicit=implicit)
    assert reason(part10_file(dataset(implicit=implicit) + patient, syntax)) == "MALFORMED"


@pytest.mark.parametrize("vr", [b"UT", b"OB", b"OW", b"UC", b"OF"])
def test_only_sequences_and_pixel_data_have_an_undefined_length(vr: bytes) -> None:
    open_value = struct.pack("<HH", 0x0041, 0x1061) + vr + b"\0\0" + b"\xff" * 4 + ITEM_IS_OPEN + ENDS
    assert reason(part10_file(dataset() + open_value)) == "MALFORMED"


def test_values_inside_sequences_are_not_taken_for_the_instances_own() -> None:
    item = element(0x00080018, b"UI", b"9.9.9")
    inner = element(0x00400260, b"SQ", b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item)
    assert read(part10_file(dataset() + inner)).sop_instance_uid == "1.2.3.4.5"


def test_a_deflate_bomb_stops_at_the_ceiling() -> None:
    # GIVEN 64 MB of zeros deflated to some 60 kB
    bomb = deflated(dataset() + element(0x7FE00010, b"OB", bytes(64 << 20)))
    # THEN a lower ceiling refuses it and a higher one reads it
    assert reason(bomb, max_inflated=1 << 20) == "DEFLATE_BOMB"
    assert read(bomb, max_inflated=80 << 20).sop_instance_uid == "1.2.3.4.5"


def deflated(body: bytes) -> bytes:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return part10_file(squeezer.compress(body) + squeezer.flush(), DEFLATED)


def test_an_inflated_dataset_is_in_memory_once() -> None:
    source = BytesSource(deflated(dataset() + element(0x7FE00010, b"OB", bytes(64 << 20))))
    tracemalloc.start()
    try:
        read_header(source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # It grows by reallocation, an eighth at a time.
    assert 64 << 20 < peak < 80 << 20


@dataclass
class Gate:
    """Where the first that comes waits until it is let go on."""

    come: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        if not self.come.is_set():
            self.come.set()
            assert self.go_on.wait(10)


@pytest.mark.parametrize("where", ["_inflated", "_walked"])
def test_one_deflated_dataset_is_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    # GIVEN a file that is read, or walked, for long
    gate, does = Gate(), getattr(part10, where)

    def waits(*arguments: Any) -> Any:
        gate.wait()
        return does(*arguments)

    monkeypatch.setattr(part10, where, waits)
    monkeypatch.setattr(part10, "LONGEST_WAIT", 0.01)
    data = sample("image_dfl.dcm")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read, data)
        assert gate.come.wait(10)
        try:
            # WHEN another comes THEN it is read later, and one that is not deflated now
            with pytest.raises(StorageError):
                read(data)
            # Of a header alone, nothing is inflated.
            assert reason(data, max_inflated=0) == "DEFLATE_BOMB"
            assert read(sample("CT_small.dcm")).modality == "CT"
        finally:
            gate.go_on.set()
        assert reading.result() == read(data)


def test_a_deflated_file_can_wait_for_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part10, "LONGEST_WAIT", 0.01)
    data = sample("image_dfl.dcm")
    with ThreadPoolExecutor(1) as pool, part10._INFLATING:
        waiting = pool.submit(read_header, BytesSource(data), longest_wait=-1)
        time.sleep(0.1)
        assert not waiting.done()
        part10._INFLATING.release()
        try:
            assert waiting.result(10) == read(data)
        finally:
            part10._INFLATING.acquire()


def test_of_an_error_no_inflated_dataset_is_kept() -> None:
    # GIVEN an object that breaks off once 64 MB were inflated
    class Broken(BytesSource):
        def read(self, offset: int, length: int) -> bytes:
            if length > 1 << 10 and offset + length >= self.size:
                raise StorageError("S3 breaks off")
            return super().read(offset, length)

    noise = random.Random(7).randbytes(2 << 20)
    source = Broken(deflated(dataset() + element(0x7FE00010, b"OB", bytes(64 << 20) + noise)))
    tracemalloc.start()
    try:
        with pytest.raises(StorageError) as kept:
            read_header(source)
        # WHEN somebody keeps the error THEN not with it what was inflated
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept.value and peak > 64 << 20 and held < 8 << 20


def test_a_damaged_deflated_file_is_truncated() -> None:
    assert reason(sample("image_dfl.dcm")[:-20]) == "TRUNCATED"


def test_fuzzed_files_are_read_or_refused_never_anything_else() -> None:
    randomness = random.Random(7)
    whole = [sample(name) for name in ("CT_small.dcm", "rtplan.dcm", "image_dfl.dcm", "MR_small_bigendian.dcm")]
    outcomes = {True: 0, False: 0}
    for _ in range(400):
        data = bytearray(randomness.choice(whole)[:6000])
        for _ in range(randomness.randint(1, 20)):
            data[randomness.randrange(128, len(data))] = randomness.randrange(256)
        outcomes[_passes(bytes(data))] += 1
    print(f"\nfuzzed headers: {outcomes[True]} read, {outcomes[False]} refused")
    assert outcomes[False] > 100


def test_patient_data_stays_out_of_representations() -> None:
    assert "P-1" not in repr(read(part10_file(dataset())))


@pytest.mark.parametrize("beyond", [0, 1, 60, 190])
def test_what_ends_just_beyond_a_piece_is_inflated_to_its_end(beyond: int) -> None:
    """GIVEN zeros whose last bits stand for more than the rest of a piece WHEN they are inflated THEN none is lost."""
    for length in ((1 << 20) + beyond, (5 << 20) + beyond):
        compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = compress.compress(b"a" + bytes(length)) + compress.flush()
        for step in (len(packed), 1000):
            pieces = [packed[start : start + step] for start in range(0, len(packed), step)]
            assert b"".join(inflate(pieces, 1 << 30)) == b"a" + bytes(length)
        assert imaging_inflate(io.BytesIO(packed), max_bytes=1 << 30).getvalue() == b"a" + bytes(length)
    compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = compress.compress(b"a" + bytes((64 << 10) + beyond)) + compress.flush()
    assert b"".join(inflated([packed], at_once=64 << 10)) == b"a" + bytes((64 << 10) + beyond)
