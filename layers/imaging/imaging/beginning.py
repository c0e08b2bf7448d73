"""Read the header of a DICOM file that is still on its way, and no more of the file than that takes."""

import tempfile
from collections.abc import Iterable, Iterator
from io import SEEK_CUR, SEEK_SET
from typing import TYPE_CHECKING, Any

from imaging.errors import CannotDecode, TooLarge
from imaging.inflating import inflated

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_LARGEST = 64 * 1024 * 1024
_IN_MEMORY = 8 * 1024 * 1024
_CHUNK = 64 * 1024
# Waveforms, spectra, overlays and pixels are behind all that describes them; so is the document of an encapsulated PDF.
_FIRST_BULK_DATA = 0x54000000
_ENCAPSULATED_DOCUMENT = 0x00420011
_BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_AVAILABLE_TRANSFER_SYNTAX = "00083002"


def read_header(pieces: Iterable[bytes], *, max_bytes: int = _LARGEST) -> dict[str, Any]:
    """Return what a PACS would answer as the metadata of a DICOM file, read from the file's beginning.

    For a PACS that gives no metadata, or none of this file. Reading stops where bulk data begins. The dataset has no
    private elements and no bulk values (only their tag and VR), leaves out elements that are malformed, and names the
    file's transfer syntax as AvailableTransferSyntaxUID (0008,3002).

    Parameters
    ----------
    pieces
        The file, piece by piece; those that are not needed are not taken.
    max_bytes
        Ceiling of what is read.

    Raises
    ------
    CannotDecode
        This is no DICOM file, or its header is broken.
    TooLarge
        The header does not end within the ceiling.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

    from imaging.failures import broken_input_is_cannot_decode

    rest = iter(pieces)
    with broken_input_is_cannot_decode("reading the header"), _Arriving(rest, max_bytes) as file:
        read_preamble(file, force=False)  # type: ignore[arg-type]
        meta = FileMetaDataset(read_dataset(file, False, True, stop_when=_is_after_meta))  # type: ignore[arg-type]
        syntax = UID(str(meta.get("TransferSyntaxUID", "")))
        if not syntax.is_transfer_syntax:
            raise CannotDecode("the file names no known transfer syntax")
        if syntax == DeflatedExplicitVRLittleEndian:
            with _Arriving(inflated(file.unread(), at_once=_CHUNK), max_bytes) as dataset:
                header = to_json(read_dataset(dataset, False, True, stop_when=_is_bulk_data))  # type: ignore[arg-type]
        else:
            found = read_dataset(
                file,  # type: ignore[arg-type]
                syntax.is_implicit_VR,
                syntax.is_little_endian,
                stop_when=_is_bulk_data,
            )
            header = to_json(found)
    header[_AVAILABLE_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [str(syntax)]}
    return header


def to_json(dataset: "Dataset") -> dict[str, Any]:
    """Return the public elements of a dataset in the DICOM JSON Model (PS3.18 F.2); bulk data has no value there."""
    from imaging.failures import BROKEN_INPUT

    converted: dict[str, Any] = {}
    for tag in sorted(dataset.keys()):
        if tag.is_private:
            continue
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                value = {"vr": "SQ", "Value": [to_json(item) for item in element.value]}
            elif element.VR in _BULK_VRS:
                value = {"vr": element.VR}
            else:
                value = element.to_json_dict(None, _LARGEST)
        except BROKEN_INPUT:
            continue  # one bad value does not make the others unreadable
        converted[f"{tag:08X}"] = value
    return converted


def _is_after_meta(tag: Any, vr: str | None, length: int) -> bool:
    return bool(tag.group != 2)


def _is_bulk_data(tag: Any, vr: str | None, length: int) -> bool:
    return bool(tag >= _FIRST_BULK_DATA or tag == _ENCAPSULATED_DOCUMENT)


class _Arriving:
    """A file that is fetched as far as it is read."""

    def __init__(self, pieces: Iterator[bytes], max_bytes: int) -> None:
        self._pieces = pieces
        self._max_bytes = max_bytes
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 closed by __exit__
        self._fetched = 0
        self._position = 0

    def read(self, length: int = -1) -> bytes:
        end = None if length < 0 else self._position + length
        while end is None or self._fetched < end:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._file.seek(self._fetched)
            self._file.write(piece)
            self._fetched += len(piece)
            if self._fetched > self._max_bytes:
                raise TooLarge(f"the header does not end within {self._max_bytes} bytes")
        self._file.seek(self._position)
        data = self._file.read(length)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        if whence not in (SEEK_SET, SEEK_CUR):
            raise ValueError("the end is not known yet")
        self._position = offset + (self._position if whence == SEEK_CUR else 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def unread(self) -> Iterator[bytes]:
        """Yield what is behind the position: first what has arrived, then what comes."""
        yield self.read(self._fetched - self._position)
        yield from self._pieces

    def __enter__(self) -> "_Arriving":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
