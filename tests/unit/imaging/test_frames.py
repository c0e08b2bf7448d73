"""Which frame is shown, that no other is decoded, and how it is scaled and encoded."""

import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders.base import JPEG2000LosslessEncoder, JPEGLSLosslessEncoder, RLELosslessEncoder
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from imaging import CannotDecode, FrameNotFound, Picture, render, render_frame, representative_frame
from tests.support.dicom_files import saved
from tests.support.images import image, opened, shown

ENCODERS: dict[str, Any] = {
    RLELossless: RLELosslessEncoder,
    JPEG2000Lossless: JPEG2000LosslessEncoder,
    JPEGLSLossless: JPEGLSLosslessEncoder,
}


def picture_of(number: int) -> NDArray[np.uint8]:
    """Return a frame that is unlike any other."""
    pixels = np.random.default_rng(number).integers(1, 255, (64, 72)).astype("u1")
    pixels[0, :2] = 0, 255
    return pixels


def encoded(pixels: NDArray[Any], syntax: str) -> bytes:
    """Return one compressed frame."""
    dataset = image(pixels)
    return bytes(ENCODERS[syntax].encode(dataset))


def multi_frame(syntax: str, table: str, frames: list[bytes]) -> Dataset:
    """Return an encapsulated multi-frame image with the offset table of the kind asked for."""
    dataset = image(picture_of(0), NumberOfFrames=len(frames))
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if table == "extended":
        values = encapsulate_extended(frames)
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = values
    else:
        fragments = 2 if table == "empty, two fragments a frame" else 1
        dataset.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=table == "basic")
    dataset["PixelData"].is_undefined_length = True
    return dataset


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("table", ["basic", "empty", "extended", "empty, two fragments a frame"])
def test_only_the_asked_frame_is_decoded(syntax: str, table: str) -> None:
    """GIVEN five frames of which four are rubbish WHEN the good one is asked for THEN it is shown."""
    if table == "empty, two fragments a frame" and syntax == RLELossless:
        table = "empty"  # an RLE frame is one fragment (PS3.5 A.4.2)
    rubbish = b"\x5a" * 200 + b"\xff\xd9"
    dataset = multi_frame(syntax, table, [rubbish, rubbish, rubbish, encoded(picture_of(4), syntax), rubbish])
    assert (shown(dataset, frame=4) == picture_of(4)).all()
    with pytest.raises(CannotDecode):
        render(saved(dataset), frame=3)


def test_memory_is_that_of_one_frame_however_many_there_are(tmp_path: Path) -> None:
    # GIVEN a file of 160 frames, 80 MB, on disk
    frames, rows, columns = 160, 512, 512
    path = tmp_path / "many.dcm"
    dataset = image(np.zeros((frames, rows, columns), dtype="u2"), NumberOfFrames=frames)
    path.write_bytes(saved(dataset))
    del dataset
    render(path)
    # WHEN its last frame is rendered
    tracemalloc.start()
    try:
        render(path, frame=frames)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # THEN a few copies of one frame (0.5 MB) are all that is held
    assert peak < 12 * rows * columns * 2, f"peak {peak / 1e6:.1f} MB"


def test_the_middle_frame_stands_for_the_image_unless_the_file_names_one() -> None:
    frames = np.stack([picture_of(number) for number in range(5)])
    assert (shown(image(frames, NumberOfFrames=5)) == frames[2]).all()
    named = image(frames, NumberOfFrames=5, RepresentativeFrameNumber=5)
    assert (shown(named) == frames[4]).all()
    assert representative_frame(named.to_json_dict()) == 5
    assert representative_frame(image(frames, NumberOfFrames=5, RepresentativeFrameNumber=9)) == 3


@pytest.mark.parametrize("frame", [0, -1, 6])
def test_a_frame_that_is_not_there(frame: int) -> None:
    dataset = image(np.stack([picture_of(number) for number in range(5)]), NumberOfFrames=5)
    with pytest.raises(FrameNotFound):
        render(saved(dataset), frame=frame)
    with pytest.raises(FrameNotFound):
        render_frame(b"", ExplicitVRLittleEndian, dataset.to_json_dict(), frame=frame)


def test_one_bit_frames_that_begin_inside_a_byte() -> None:
    # GIVEN seven frames of 15 one-bit pixels each, packed one after the other
    bits = np.random.default_rng(1).integers(0, 2, (7, 3, 5)).astype("u1")
    dataset = image(
        np.packbits(bits.ravel(), bitorder="little").tobytes(),
        Rows=3,
        Columns=5,
        NumberOfFrames=7,
        SamplesPerPixel=1,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelRepresentation=0,
        PhotometricInterpretation="MONOCHROME2",
    )
    for frame in range(1, 8):
        assert (shown(dataset, frame=frame) == bits[frame - 1] * 255).all()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_a_frame_fetched_alone(syntax: str, as_json: bool) -> None:
    # GIVEN the metadata of an image of 9 frames, and one of its frames
    header = image(picture_of(0), NumberOfFrames=9)
    del header.PixelData
    frame = picture_of(7).tobytes() if syntax == ExplicitVRLittleEndian else encoded(picture_of(7), syntax)
    # WHEN it is rendered
    picture = render_frame(
        frame, syntax, header.to_json_dict() if as_json else header, frame=8, size=None, media_type="image/png"
    )
    # THEN it is that frame, and the caller's header is untouched
    assert (np.asarray(opened(picture)) == picture_of(7)).all()
    assert header.NumberOfFrames == 9


def test_a_jpeg_frame_fetched_alone() -> None:
    buffer = BytesIO()
    Image.fromarray(picture_of(1)).save(buffer, "JPEG", quality=100)
    header = image(picture_of(1)).to_json_dict()
    picture = render_frame(buffer.getvalue(), JPEGBaseline8Bit, header, size=None, media_type="image/png")
    assert np.abs(np.asarray(opened(picture)).astype(int) - picture_of(1)).max() <= 4


def test_a_real_valued_frame_fetched_alone() -> None:
    header = image(np.zeros((1, 3), dtype="f4")).to_json_dict()
    frame = np.array([[-1.5, 0.0, 1.5]], dtype="f4").tobytes()
    picture = render_frame(frame, ExplicitVRLittleEndian, header, media_type="image/png")
    assert np.asarray(opened(picture)).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ({}, (100, 50)),
        ({"PixelSpacing": [2, 1]}, (50, 50)),
        ({"PixelSpacing": [1, 2]}, (100, 25)),
        ({"PixelAspectRatio": [2, 1]}, (50, 50)),
        ({"ImagerPixelSpacing": [1, 2]}, (100, 25)),
        ({"PixelSpacing": [0, 0], "PixelAspectRatio": [1, 2]}, (100, 25)),
        ({"PixelSpacing": [1, 1], "PixelAspectRatio": [1, 2]}, (100, 50)),
        ({"PixelSpacing": [1, 1e9]}, (100, 50)),
    ],
)
def test_pixels_that_are_not_square(spacing: dict[str, Any], expected: tuple[int, int]) -> None:
    picture = render(saved(image(np.zeros((50, 100), dtype="u1"), **spacing)), size=None)
    assert (picture.width, picture.height) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(None, (300, 120)), (256, (256, 102)), (16, (16, 6)), (300, (300, 120)), (1024, (300, 120))]
)
def test_pictures_shrink_in_proportion_and_never_grow(size: int | None, expected: tuple[int, int]) -> None:
    picture = render(saved(image(np.zeros((120, 300), dtype="u1"))), size=size)
    assert (picture.width, picture.height) == expected == opened(picture).size


def test_a_sliver_keeps_at_least_one_pixel() -> None:
    picture = render(saved(image(np.zeros((1, 2000), dtype="u1"))), size=16)
    assert (picture.width, picture.height) == (16, 1)


def test_media_types() -> None:
    source = saved(image(picture_of(1)))
    jpeg, png = render(source), render(source, media_type="image/png")
    assert (jpeg.media_type, jpeg.data[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    assert (png.media_type, png.data[:8]) == ("image/png", b"\x89PNG\r\n\x1a\n")
    assert opened(jpeg).mode == opened(png).mode == "L"
    assert len(render(source, quality=30).data) < len(jpeg.data)


def test_bytes_path_and_file_are_one(tmp_path: Path) -> None:
    source = saved(image(picture_of(1)))
    path = tmp_path / "one.dcm"
    path.write_bytes(source)
    with path.open("rb") as stream:
        pictures: set[Picture] = {render(source), render(path), render(str(path)), render(stream)}
        assert not stream.closed
    assert len(pictures) == 1
    with pytest.raises(FileNotFoundError):
        render(tmp_path / "absent.dcm")
