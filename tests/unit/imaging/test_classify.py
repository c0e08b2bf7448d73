"""What gets a placeholder, the placeholder itself, and what all that costs to import."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pydicom.uid import HEVCMP51, MPEG4HP41F, ExplicitVRLittleEndian

from imaging import CannotDecode, Reason, classify, placeholder, render, window_of
from imaging.encoded_picture import MediaType
from tests.support.dicom_files import saved
from tests.support.images import image, opened
from tests.support.pictures import read, sample

STORAGE = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, None),
        ({"SOPClassUID": STORAGE + "88.11"}, Reason.STRUCTURED_REPORT),
        ({"SOPClassUID": STORAGE + "88.67"}, Reason.STRUCTURED_REPORT),
        ({"SOPClassUID": STORAGE + "88.59"}, Reason.KEY_OBJECTS),
        ({"SOPClassUID": STORAGE + "11.1"}, Reason.PRESENTATION_STATE),
        ({"SOPClassUID": STORAGE + "104.1"}, Reason.PDF),
        ({"SOPClassUID": STORAGE + "104.2"}, Reason.DOCUMENT),
        ({"SOPClassUID": STORAGE + "9.1.1"}, Reason.WAVEFORM),
        ({"SOPClassUID": STORAGE + "77.1.1.1"}, Reason.VIDEO),
        ({"SOPClassUID": STORAGE + "77.1.1"}, None),
        ({"SOPClassUID": STORAGE + "1.1"}, None),
        ({"AvailableTransferSyntaxUID": MPEG4HP41F}, Reason.VIDEO),
        ({"AvailableTransferSyntaxUID": HEVCMP51}, Reason.VIDEO),
        ({"AvailableTransferSyntaxUID": "1.2.840.10008.1.2.4.90"}, None),
        ({"BurnedInAnnotation": "YES"}, Reason.BURNED_IN),
        ({"BurnedInAnnotation": "NO"}, None),
        ({"Rows": None}, Reason.NO_PIXELS),
        ({"Columns": 0}, Reason.NO_PIXELS),
        ({"Rows": 65535, "Columns": 65535}, Reason.TOO_LARGE),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_the_header_tells_what_has_no_picture(attributes: dict[str, Any], reason: Reason | None, as_json: bool) -> None:
    header = image(np.zeros((2, 2), dtype="u1"), **attributes)
    assert classify(header.to_json_dict() if as_json else header) is reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("reportsi.dcm", Reason.STRUCTURED_REPORT),
        ("waveform_ecg.dcm", Reason.WAVEFORM),
        ("rtplan.dcm", Reason.NO_PIXELS),
        ("CT_small.dcm", None),
    ],
)
def test_real_files_are_told_apart(name: str, reason: Reason | None) -> None:
    assert classify(read(sample(name))) is reason


def test_the_file_meta_information_and_the_caller_may_name_a_video() -> None:
    header = image(np.zeros((2, 2), dtype="u1"))
    assert classify(header, transfer_syntax_uid=MPEG4HP41F) is Reason.VIDEO
    header.file_meta.TransferSyntaxUID = MPEG4HP41F
    assert classify(header) is Reason.VIDEO
    assert classify(header, transfer_syntax_uid=ExplicitVRLittleEndian) is None


def test_the_operator_decides_on_names_in_the_picture_and_on_size() -> None:
    header = image(np.zeros((20, 20), dtype="u2"), BurnedInAnnotation="YES")
    assert classify(header, allow_burned_in=True) is None
    assert classify(header, allow_burned_in=True, max_frame_bytes=799) is Reason.TOO_LARGE
    assert classify(header, allow_burned_in=True, max_frame_bytes=800) is None


@pytest.mark.parametrize("header", [{"00280010": 7}, {"00080016": ["1.2"]}])
def test_what_is_not_dicom_json_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(CannotDecode):
        classify(header)


def test_a_video_is_not_rendered() -> None:
    dataset = image(np.zeros((2, 2), dtype="u1"))
    source = saved(dataset).replace(ExplicitVRLittleEndian.encode() + b"\0", b"1.2.840.10008.1.2.4")
    assert source != saved(dataset)
    with pytest.raises(CannotDecode):
        render(source)


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("size", [64, 256, 1024])
def test_a_placeholder_is_a_legible_picture(reason: Reason, size: int) -> None:
    # GIVEN a reason WHEN its placeholder is drawn
    picture = placeholder(reason.label, size=size, media_type="image/png")
    pixels = np.asarray(opened(picture)).astype(int)
    assert (picture.width, picture.height) == (size, size) == opened(picture).size
    # THEN there is a label, bright on dark, that stays within the border and spans a good part of the width
    bright = np.argwhere(pixels > 150)
    (top, left), (bottom, right) = bright.min(axis=0), bright.max(axis=0)
    margin = size // 40
    assert min(top, left) > margin
    assert max(bottom, right) < size - 1 - margin
    assert right - left > size * (0.3 if len(reason.label) > 3 else 0.2)


@pytest.mark.parametrize(("media_type", "start"), [("image/jpeg", b"\xff\xd8\xff"), ("image/png", b"\x89PNG")])
def test_a_placeholder_is_of_the_asked_type(media_type: MediaType, start: bytes) -> None:
    picture = placeholder("Structured report", size=16, media_type=media_type)
    assert (picture.media_type, picture.width, picture.height) == (media_type, 16, 16)
    assert picture.data.startswith(start)


def test_labels_differ() -> None:
    assert len({placeholder(reason.label).data for reason in Reason}) == len(Reason)


def test_an_empty_label_is_still_a_picture() -> None:
    assert placeholder("").width == 256


def test_deciding_imports_nothing_costly() -> None:
    """GIVEN a fresh interpreter WHEN the package decides by a JSON header THEN no decoder library was imported."""
    program = (
        "import sys, imaging\n"
        "imaging.classify({'00280010': {'vr': 'US', 'Value': [2]}})\n"
        "imaging.window_of({}), imaging.representative_frame({})\n"
        "print({'numpy', 'pydicom', 'PIL', 'gdcm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_no_window_in_an_empty_header() -> None:
    assert window_of({}) is None
