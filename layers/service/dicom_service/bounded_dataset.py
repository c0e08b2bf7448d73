"""DICOM files of the PACS as pydicom datasets, without inflating more of a deflated one than is asked for."""

import io
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, BinaryIO

from dicom_service.element_walk import NotDicom
from dicom_service.native_syntaxes import DEFLATED
from dicom_service.part10 import inflate

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

_PIECE = 64 * 1024
_PIXELS = 0x7FE0


def read_bounded(file: BinaryIO, most: int, *, beginning_of: Sequence[str] | None = None) -> "Dataset":
    """Read a DICOM file; pydicom alone inflates whatever comes, and 1 MB can become 1 GB.

    Parameters
    ----------
    file
        The file, read from its beginning.
    most
        Most bytes that a deflated dataset (PS3.5 §A.5) may be inflated to.
    beginning_of
        Keywords of what is wanted of the elements before the pixels: of a larger dataset they are read as far as
        `most` goes. None for the whole file.

    Raises
    ------
    NotDicom
        The whole of a deflated dataset is damaged (``TRUNCATED``) or larger (``DEFLATE_BOMB``).
    """
    from pydicom import dcmread
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.tag import Tag

    file.seek(0)
    read_preamble(file, force=False)
    meta = FileMetaDataset(read_dataset(file, False, True, stop_when=lambda tag, *_: int(tag) >> 16 != 2))
    whole = beginning_of is None
    tags: list[BaseTag | int] | None = None if beginning_of is None else [Tag(keyword) for keyword in beginning_of]
    if meta.get("TransferSyntaxUID") != DEFLATED:
        file.seek(0)
        return dcmread(file, stop_before_pixels=not whole, specific_tags=tags)
    inflated = io.BytesIO()
    with nullcontext() if whole else suppress(NotDicom):
        for piece in inflate(iter(lambda: file.read(_PIECE), b""), most):
            inflated.write(piece)
    inflated.seek(0)
    behind = None if whole else lambda tag, *_: int(tag) >> 16 >= _PIXELS
    found: Dataset = read_dataset(inflated, False, True, stop_when=behind, specific_tags=tags)
    found.file_meta = meta
    return found
