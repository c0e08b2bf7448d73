"""The header reader: right about whole files, and sure about broken ones."""

import random
import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom_service.element_walk import NotDicom
from dicom_service.part10 import BytesSource, Header, read_header
from tests.support.dicom_files import EXPLICIT, IMPLICIT, dataset, element, nested, part10

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
    whole = part10(dataset(implicit=implicit) + pixels, IMPLICIT if implicit else EXPLICIT)
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
        (part10(dataset() + b"\x10\x00\x10\x00??garbage"), "MALFORMED"),
        (part10(dataset(SOPInstanceUID=None)), "NO_SOP_UIDS"),
        (part10(dataset(StudyInstanceUID=b"")), "NO_SOP_UIDS"),
        (part10(dataset(StudyInstanceUID=b"../../etc/passwd")), "INVALID_UID"),
        (part10(dataset(SOPInstanceUID=b"1." * 40 + b"1")), "INVALID_UID"),
        (part10(dataset(SOPClassUID=b"1.2.840.10008.1.3.10")), "DICOMDIR"),
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
        return part10(nested(depth, implicit=implicit, defined=defined) + dataset(implicit=implicit), syntax)

    assert read(file(60)).sop_instance_uid == "1.2.3.4.5"
    assert reason(file(1000)) == "TOO_DEEP"


def test_values_inside_sequences_are_not_taken_for_the_instances_own() -> None:
    item = element(0x00080018, b"UI", b"9.9.9")
    inner = element(0x00081140, b"SQ", b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item)
    assert read(part10(inner + dataset())).sop_instance_uid == "1.2.3.4.5"


def test_a_deflate_bomb_stops_at_the_ceiling() -> None:
    # GIVEN 64 MB of zeros deflated to some 60 kB
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = dataset() + element(0x7FE00010, b"OB", bytes(64 << 20))
    bomb = part10(squeezer.compress(body) + squeezer.flush(), DEFLATED)
    # THEN a lower ceiling refuses it and a higher one reads it
    assert reason(bomb, max_inflated=1 << 20) == "DEFLATE_BOMB"
    assert read(bomb, max_inflated=80 << 20).sop_instance_uid == "1.2.3.4.5"


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
    assert "P-1" not in repr(read(part10(dataset())))
