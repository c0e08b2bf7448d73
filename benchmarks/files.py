"""DICOM files of any size for benchmarks, each with UIDs of its own at no cost."""

from __future__ import annotations

import io
import random
import uuid
from dataclasses import dataclass


def new_uid() -> str:
    """A UID of always the same length (PS3.5 §B.2), so that it can be put in the place of another."""
    return f"2.25.{uuid.uuid4().int | 1 << 127}"


@dataclass(frozen=True)
class File:
    """A DICOM file and where the PACS will have it."""

    study_uid: str
    instance_uid: str
    content: bytes


@dataclass(frozen=True)
class Template:
    """A DICOM file whose UIDs are to be replaced."""

    content: bytes
    study_uid: str
    series_uid: str
    instance_uid: str

    def instance(self) -> File:
        """Return the next instance of the same series."""
        uid = new_uid()
        return File(self.study_uid, uid, self.content.replace(self.instance_uid.encode(), uid.encode()))

    def exam(self, instances: int = 1) -> list[File]:
        """Return so many instances of one series of a study of its own."""
        own = self.own_study()
        return [own.instance() for _ in range(instances)]

    def own_study(self) -> Template:
        """Return the same for a study of its own."""
        study, series = new_uid(), new_uid()
        content = self.content.replace(self.study_uid.encode(), study.encode())
        content = content.replace(self.series_uid.encode(), series.encode())
        return Template(content, study, series, self.instance_uid)


def template(side: int | None = None) -> Template:
    """Make a CT image of `side` × `side` pixels of 2 bytes, or pydicom's CT_small (128 × 128) with UIDs of its own."""
    import pydicom
    from pydicom.data import get_testdata_file

    path = get_testdata_file("CT_small.dcm")
    dataset = pydicom.dcmread(str(path))
    uids = new_uid(), new_uid(), new_uid()
    for keyword, uid in zip(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), uids, strict=True):
        setattr(dataset, keyword, uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(uids[2])
    if side:
        dataset.Rows = dataset.Columns = side
        dataset.PixelData = random.Random(side).randbytes(side * side * 2)
    written = io.BytesIO()
    dataset.save_as(written)
    return Template(written.getvalue(), *uids)


def radiograph(sample: str, study_uid: str, series_uid: str, instance_uid: str, *, pixels: int = 5_000_000) -> bytes:
    """Make an image of about 10 MB of a radiograph of pydicom's samples, reflected at its lower edge."""
    import numpy as np
    import pydicom
    from pydicom.data import get_testdata_file

    dataset = pydicom.dcmread(str(get_testdata_file(sample)))
    image = dataset.pixel_array
    rows = pixels // image.shape[1]
    image = np.pad(image, ((0, rows - image.shape[0]), (0, 0)), mode="reflect")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = study_uid, series_uid, instance_uid
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(instance_uid)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.Rows, dataset.PixelData = rows, image.astype("<u2").tobytes()
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()
