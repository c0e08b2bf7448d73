"""Broken and hostile files give a picture or an ImagingError, nothing else, and no value of theirs reaches a log."""

import logging
import random
import signal
import subprocess
import tracemalloc
import zlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
)

from imaging import CannotDecode, ImagingError, Picture, TooLarge, read_header, render, render_frame
from tests.support.dicom_files import saved
from tests.support.images import image
from tests.support.pictures import read, sample

# GDCM starts a process for each try
TRIES = {"SC_rgb_jpeg_gdcm.dcm": 10, "CT_small.dcm": 30}
SEEDS = [
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_rle_32bit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "emri_small_RLE.dcm",
]


def outcome(source: bytes) -> str:
    """Render and name what came of it; anything but a picture or an ImagingError fails the test."""
    try:
        picture = render(source)
    except ImagingError as error:
        return type(error).__name__
    assert isinstance(picture, Picture)
    return "Picture"


def damaged(source: bytes, chance: random.Random) -> bytes:
    """Return the file with some bytes changed, mostly in its pixels, or cut short."""
    if chance.random() < 0.25:
        return source[: chance.randrange(len(source))]
    pixels = source.find(b"\xe0\x7f\x10\x00")
    first = pixels if pixels > 0 and chance.random() < 0.6 else 132
    broken = bytearray(source)
    for _ in range(chance.choice((1, 3, 10, 100))):
        broken[chance.randrange(first, len(broken))] = chance.randrange(256)
    return bytes(broken)


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files_are_a_picture_or_an_error(name: str) -> None:
    source, chance = sample(name).read_bytes(), random.Random(name)
    outcomes = Counter(outcome(damaged(source, chance)) for _ in range(TRIES.get(name, 20)))
    assert outcomes["CannotDecode"] > 0


@pytest.mark.parametrize("element", [b"\x28\x00\x02\x00", b"\x28\x00\x10\x00", b"\x28\x00\x00\x01"])
def test_a_number_of_three_bytes_is_an_error_and_left_out_of_the_header(element: bytes) -> None:
    source = sample("CT_small.dcm").read_bytes()
    at = source.index(element + b"US\x02\x00")
    # GIVEN SamplesPerPixel, Rows or BitsAllocated with one byte more than a number has
    broken = source[: at + 6] + b"\x03\x00" + source[at + 8 : at + 10] + b"\0" + source[at + 10 :]
    assert outcome(broken) == "CannotDecode"
    header = read_header([broken])
    left_out = f"{element[1]:02X}{element[0]:02X}{element[3]:02X}{element[2]:02X}"
    assert left_out not in header and header["00100020"]["Value"] == ["1CT1"]


@pytest.mark.parametrize(("position", "value", "signal_number"), [(22, 145, signal.SIGSEGV), (37, 132, signal.SIGABRT)])
def test_a_frame_on_which_gdcm_crashes_costs_only_the_picture(
    position: int, value: int, signal_number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a lossless JPEG frame with one byte changed
    source = sample("SC_rgb_jpeg_gdcm.dcm").read_bytes()
    frame = bytearray(source[source.find(b"\xff\xd8\xff\xee") :])
    frame[position] = value
    header = read(sample("SC_rgb_jpeg_gdcm.dcm"))
    # on which GDCM brings its process down
    ended: list[int] = []
    run = subprocess.run

    def spy(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[bytes]:
        done = run(*arguments, **{**options, "check": False})
        ended.append(done.returncode)
        done.check_returncode()
        return done

    monkeypatch.setattr(subprocess, "run", spy)
    # WHEN it is rendered THEN this process lives to say that it cannot be decoded
    with pytest.raises(CannotDecode):
        render_frame(bytes(frame), JPEGLosslessSV1, header)
    assert ended == [-signal_number]


@pytest.mark.parametrize("length", [60, 1000, 4000])
def test_a_jpeg_ls_frame_that_was_cut_short_is_given_an_end(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a frame cut short, in which CharLS would search for its end for 5 to 16 s
    handed: list[bytes] = []

    def spy(frames: list[bytes], *, has_bot: bool) -> bytes:
        handed.extend(frames)
        return encapsulate(frames, has_bot=has_bot)

    monkeypatch.setattr("imaging.decode.encapsulate", spy)
    source = sample("MR_small_jpeg_ls_lossless.dcm").read_bytes()
    frame = source[source.find(b"\xff\xd8\xff") :][:length]
    # WHEN it is rendered THEN the decoder gets one with an end, and refuses it at once
    with pytest.raises(CannotDecode):
        render_frame(frame, "1.2.840.10008.1.2.4.80", read(sample("MR_small_jpeg_ls_lossless.dcm")))
    assert handed == [frame + b"\xff\xd9"]


def test_an_overlong_rle_segment_does_no_harm() -> None:
    """GIVEN a segment that unpacks to more than the frame holds WHEN rendered THEN the surplus is dropped."""
    segment = b"\x81\xff" * 64
    offsets = [2, 64, 64 + len(segment)] + [0] * 13
    frame = b"".join(number.to_bytes(4, "little") for number in offsets) + segment * 2
    # pylibjpeg-rle writes past its buffer here and panics, which no except clause for Exception holds
    header = image(np.zeros((4, 4), dtype="u2"))
    assert render_frame(frame, "1.2.840.10008.1.2.5", header).width == 4


@pytest.mark.parametrize("length", [0, 1, 131, 132, 140, 300])
def test_what_is_hardly_a_file(length: int) -> None:
    with pytest.raises(CannotDecode):
        render(sample("CT_small.dcm").read_bytes()[:length])


def deflated(dataset_bytes: bytes) -> bytes:
    """Return a deflated file of which every byte after the meta information is the given."""
    dataset = image(np.zeros((2, 2), dtype="u1"))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta = saved(dataset)
    meta = meta[: 132 + 12 + int.from_bytes(meta[140:144], "little")]
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return meta + compressor.compress(dataset_bytes) + compressor.flush()


def test_a_deflate_bomb_stops_at_the_ceiling() -> None:
    # GIVEN 0.2 MB that inflate to 200 MB
    element = b"\x09\x00\x10\x00UN\x00\x00" + (200_000_000).to_bytes(4, "little")
    bomb = deflated(element + bytes(200_000_000))
    assert len(bomb) < 250_000
    # WHEN rendered with a ceiling of 10 MB
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            render(bomb, max_frame_bytes=10_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # THEN hardly more than the ceiling was ever held
    assert peak < 40_000_000


def test_a_deflated_image_below_the_ceiling_is_shown() -> None:
    assert render(sample("image_dfl.dcm")).width == 256


@pytest.mark.parametrize("stated", [{"Rows": 65535, "Columns": 65535}, {"SamplesPerPixel": 65535, "Rows": 65535}])
def test_giant_claims_are_refused_before_decoding(stated: dict[str, int]) -> None:
    dataset = image(np.zeros((64, 64), dtype="u2"))
    for keyword, value in stated.items():
        setattr(dataset, keyword, value)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            render(saved(dataset))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("name", "syntax", "marker", "offset"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", JPEGBaseline8Bit, b"\xff\xc0", 5),
        ("SC_rgb_jpeg_gdcm.dcm", JPEGLosslessSV1, b"\xff\xc3", 5),
        ("MR_small_jp2klossless.dcm", JPEG2000Lossless, b"\xff\x4f\xff\x51", 8),
    ],
)
def test_a_codestream_larger_than_the_header_says_is_refused(
    name: str, syntax: str, marker: bytes, offset: int
) -> None:
    # GIVEN a codestream that claims 65535 rows or columns in an image of a hundred
    source = bytearray(sample(name).read_bytes())
    assert read(sample(name)).file_meta.TransferSyntaxUID == syntax
    at = source.find(marker) + offset
    source[at : at + 2] = b"\xff\xff"
    with pytest.raises(CannotDecode, match="codestream"):
        render(bytes(source))


@pytest.mark.parametrize("syntax", [f"1.2.840.10008.1.2.4.{last}" for last in (53, 55, 92, 102)])
def test_syntaxes_without_a_decoder_say_so(syntax: str) -> None:
    with pytest.raises(CannotDecode, match=syntax):
        render_frame(b"\xff\xd8", syntax, image(np.zeros((2, 2), dtype="u1")))


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_twelve_bit_jpeg_is_left_to_the_pacs(name: str) -> None:
    with pytest.raises(CannotDecode, match="12 bits"):
        render(sample(name))


def test_metadata_that_is_not_enough() -> None:
    with pytest.raises(CannotDecode):
        render_frame(b"\0\0", "1.2.840.10008.1.2.1", {})
    with pytest.raises(CannotDecode):
        render_frame(b"\0\0", "1.2.3", image(np.zeros((2, 2), dtype="u1")).to_json_dict())


def test_values_of_the_dataset_stay_out_of_logs_and_messages(caplog: pytest.LogCaptureFixture) -> None:
    # GIVEN a file with patient data in fields pydicom complains about: character set, date, number, short pixels
    dataset = image(np.zeros((8, 8), dtype="u1"), PatientName="CANARY^NAME", SpecificCharacterSet="ISO_IR 192")
    source = saved(dataset).replace(b"ISO_IR 192", b"CANARY_192")
    pixels = source.find(b"\xe0\x7f\x10\x00")
    bad = b"\x10\x00\x30\x00DA\x08\x00CANARY19" + b"\x10\x00\x20\x10DS\x08\x00CANARY20"
    source = source[: source.find(b"\x28\x00\x02\x00")] + bad + source[source.find(b"\x28\x00\x02\x00") : pixels + 30]
    caplog.set_level(logging.DEBUG)
    # WHEN it is rendered, which fails
    with pytest.raises(CannotDecode) as caught:
        render(source)
    # THEN neither a log record nor the message says them
    assert "CANARY" not in caplog.text
    assert "CANARY" not in str(caught.value)


def test_broken_offset_tables_are_errors() -> None:
    dataset = image(np.zeros((8, 8), dtype="u1"), NumberOfFrames=3)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"], has_bot=True)
    dataset["PixelData"].is_undefined_length = True
    with pytest.raises(CannotDecode):
        render(saved(dataset), frame=3)
