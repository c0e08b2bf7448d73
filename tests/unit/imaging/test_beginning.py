"""The header of a file that is still on its way."""

import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from imaging import CannotDecode, TooLarge, read_header
from imaging.classification import Reason, classify
from tests.support.dicom_files import saved
from tests.support.images import image

PIECE = 1000


class Arriving:
    """A file that comes piece by piece, and knows how much of it was taken."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self.data), PIECE):
            self.taken += len(self.data[at : at + PIECE])
            yield self.data[at : at + PIECE]


def picture(**attributes: object) -> Dataset:
    pixels = np.zeros((200, 300), np.uint16)
    return image(pixels, PatientID="P1", IssuerOfPatientID="HOSPITAL", **attributes)  # type: ignore[arg-type]


def test_no_more_is_taken_than_the_header_and_one_piece() -> None:
    dataset = picture(
        WindowCenter="40", WindowWidth="400", PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100"
    )
    data = saved(dataset)
    arriving = Arriving(data)

    header = read_header(arriving)

    assert header["00100020"] == {"vr": "LO", "Value": ["P1"]}
    assert header["00100021"]["Value"] == ["HOSPITAL"]
    assert header["00100010"]["Value"] == [{"Alphabetic": "Müller^Jörg"}]
    assert (header["00280010"]["Value"], header["00281050"]["Value"]) == ([200], [40.0])
    assert "7FE00010" not in header
    assert arriving.taken <= data.index(b"\xe0\x7f\x10\x00") + 2 * PIECE < len(data) / 10


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_header_is_the_same_in_each_encoding(syntax: str) -> None:
    plain, other = picture(), picture()
    other.file_meta.TransferSyntaxUID = UID(syntax)
    first, second = read_header([saved(plain)]), read_header(Arriving(saved(other)))

    assert second.pop("00083002") == {"vr": "UI", "Value": [str(syntax)]}
    first.pop("00083002")
    assert first == second


def test_a_deflated_file_is_inflated_no_further_than_needed() -> None:
    dataset = image(np.random.default_rng(1).integers(0, 60000, (300, 300), np.uint16), PatientID="P1")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    arriving = Arriving(saved(dataset))

    assert read_header(arriving)["00100020"]["Value"] == ["P1"]
    assert arriving.taken < len(arriving.data) / 2


def test_bulk_and_private_values_are_left_out_and_a_bad_value_takes_no_other_with_it() -> None:
    dataset = picture(RedPaletteColorLookupTableData=b"\1\2" * 500)
    dataset.add_new(0x00090010, "LO", "SOMEBODY")
    dataset.add_new(0x00091001, "SQ", [Dataset()])
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2"
    dataset.ReferencedImageSequence = [item]
    data = saved(dataset).replace(b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00IS\x02\x00")

    header = read_header([data])

    assert header["00281201"] == {"vr": "OW"}
    assert not [tag for tag in header if tag.startswith("0009")]
    assert header["00081140"]["Value"] == [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]
    assert header["00100020"]["Value"] == ["P1"]
    assert "00280010" not in header and header["00280011"]["Value"] == [300]


def test_a_report_is_known_by_its_header() -> None:
    dataset = Dataset()
    dataset.file_meta = picture().file_meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.104.1", "1.2.3"
    dataset.EncapsulatedDocument = b"%PDF" + bytes(500_000)
    arriving = Arriving(saved(dataset))

    assert classify(read_header(arriving)) is Reason.PDF
    assert arriving.taken < 3 * PIECE


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 5000, bytes(128) + b"DICM", saved(picture())[:140], bytes(128) + b"DICM" + b"\xff" * 4000],
    ids=["empty", "not DICOM", "nothing behind DICM", "cut off in the meta information", "garbage"],
)
def test_what_is_no_dicom_file_is_refused(data: bytes) -> None:
    with pytest.raises(CannotDecode):
        read_header([data])


def test_a_header_without_end_is_given_up() -> None:
    head = saved(picture())
    at = head.index(b"\xe0\x7f\x10\x00")
    endless = head[:at] + b"\x29\x00\x10\x10UN\0\0\xff\xff\xff\x7f"

    def pieces() -> Iterator[bytes]:
        yield endless
        while True:
            yield bytes(10_000)

    with pytest.raises(TooLarge):
        read_header(pieces(), max_bytes=1_000_000)


def test_a_deflated_bomb_is_given_up() -> None:
    dataset = picture()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = saved(dataset)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(b"\x08\x00\x05\x00UN\0\0\xff\xff\xff\x7f" + bytes(50_000_000)) + deflater.flush()
    meta = data[: data.index(DeflatedExplicitVRLittleEndian.encode()) + len(DeflatedExplicitVRLittleEndian)]

    with pytest.raises(TooLarge):
        read_header([meta, bomb], max_bytes=1_000_000)
