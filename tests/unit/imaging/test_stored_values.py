"""Frames and values of stored files: little endian whatever the file is, and no more inflated than fits into memory."""

import zlib
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from imaging import StoredFrame, StoredFrames, TooLarge, bulk_values, read_value
from tests.support.dicom_files import element, part10
from tests.support.images import image

LITTLE = "1.2.840.10008.1.2.1"


def big_endian(dataset: Dataset) -> BytesIO:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    written = BytesIO()
    dataset.save_as(written, implicit_vr=False, little_endian=False, enforce_file_format=True)
    written.seek(0)
    return written


@pytest.mark.parametrize(("vr", "size"), [("OB", 1), ("OW", 2), ("OF", 4), ("OL", 4), ("OD", 8), ("OV", 8)])
def test_a_value_of_a_big_endian_file_is_little_endian(vr: str, size: int) -> None:
    # GIVEN words that count up, within a sequence
    inner, made = Dataset(), image(np.zeros((2, 2), "u1"))
    inner.add_new(0x54001010, vr, np.arange(1, 5, dtype=f">u{size}").tobytes())
    made.WaveformSequence = [inner]
    # WHEN they are read THEN they count up in little endian
    wanted = np.arange(1, 5, dtype=f"<u{size}").tobytes()
    assert read_value(big_endian(made), "54000100.0.54001010") == [StoredFrame(wanted, LITTLE)]


def test_eight_bits_in_words_are_the_same_pixels_in_big_endian() -> None:
    # GIVEN the same image in both orders, its 8-bit pixels with VR OW (PS3.5 §8.1.1)
    little, big = (str(get_testdata_file(name)) for name in ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"))
    # WHEN its pixels are read THEN they are the same
    with open(big, "rb") as file:
        frame = StoredFrames(file).read(1)
    assert frame == StoredFrame(dcmread(little).PixelData, LITTLE)
    with open(big, "rb") as file:
        assert read_value(file, "7FE00010") == [frame]


def test_a_frame_that_begins_inside_a_word() -> None:
    # GIVEN two frames of 15 bytes each, packed into words one after the other
    pixels = bytes(range(30))
    made = image(np.zeros((2, 3, 5), "u1"), NumberOfFrames=2)
    made.PixelData = np.frombuffer(pixels, "u2").byteswap().tobytes()
    made["PixelData"].VR = "OW"
    frames = StoredFrames(big_endian(made))
    assert [frames.read(number).data for number in (1, 2)] == [pixels[:15], pixels[15:]]


def test_a_value_in_a_deflated_file_is_read_up_to_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    body = element(0x00420011, b"OB", bytes(4000))
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    file = part10(compressor.compress(body) + compressor.flush(), DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(bulk_values, "LARGEST_INFLATED", len(body))
    assert read_value(BytesIO(file), "00420011") == [StoredFrame(bytes(4000), LITTLE)]
    monkeypatch.setattr(bulk_values, "LARGEST_INFLATED", len(body) - 1)
    with pytest.raises(TooLarge):
        read_value(BytesIO(file), "00420011")
