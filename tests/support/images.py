"""Build small DICOM images to render."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from imaging import Picture, render
from tests.support.dicom_files import saved


def image(pixels: NDArray[Any] | bytes, *, syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> Dataset:
    """Return an image dataset: attributes follow the array, unless they are given.

    The array is (rows, columns), (rows, columns, 3), or (frames, rows, columns) with ``NumberOfFrames`` given.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "2.25.1"
    keyword = "PixelData"
    if not isinstance(pixels, bytes):
        shape = pixels.shape[1:] if "NumberOfFrames" in attributes and pixels.ndim == 3 else pixels.shape
        dataset.Rows, dataset.Columns = shape[:2]
        dataset.SamplesPerPixel = 3 if len(shape) == 3 else 1
        dataset.BitsAllocated = 8 * pixels.dtype.itemsize
        if pixels.dtype.kind == "f":
            keyword = "FloatPixelData" if pixels.dtype.itemsize == 4 else "DoubleFloatPixelData"
        else:
            dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
            dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
        dataset.PhotometricInterpretation = "RGB" if len(shape) == 3 else "MONOCHROME2"
        if len(shape) == 3:
            dataset.PlanarConfiguration = 0
        pixels = pixels.tobytes()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    setattr(dataset, keyword, pixels + b"\0" * (len(pixels) % 2))
    if keyword == "PixelData":
        is_encapsulated = dataset.file_meta.TransferSyntaxUID.is_encapsulated
        dataset["PixelData"].VR = "OB" if is_encapsulated or dataset.BitsAllocated <= 8 else "OW"
        dataset["PixelData"].is_undefined_length = is_encapsulated
    return dataset


def opened(picture: Picture) -> Image.Image:
    """Return a picture decoded again."""
    return Image.open(BytesIO(picture.data))


def shown(dataset: Dataset, **options: Any) -> NDArray[Any]:
    """Return what is shown of a dataset's frame at its own size, as an array of 8 bits."""
    return np.asarray(opened(render(saved(dataset), size=None, media_type="image/png", **options)))


def item(**attributes: Any) -> Dataset:
    """Return a sequence item."""
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def without_metadata(study: str, series: str, instance: str) -> tuple[Dataset, bytes]:
    """Return an image that Orthanc stores and then answers 500 for its metadata ("Cannot convert DICOM to DICOMweb").

    Its private sequence has an empty item between two others, as scanners write them; Orthanc 1.10 loses count there.
    """
    pixels = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80)
    names = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance}
    dataset = image(pixels, PatientID="P1", IssuerOfPatientID="HOSPITAL", Modality="CT", InstanceNumber=1, **names)
    state = item(PatientComments="x")
    dataset.add_new(0x01F30010, "LO", "ELSCINT1")
    dataset.add_new(0x01F31011, "SQ", [state, Dataset(), state])
    return dataset, saved(dataset)
