"""A small archive that speaks DICOMweb as PS3.18 has it, for the services that viewers use."""

import io
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from imaging import StoredFrames
from tests.support.pacs import FakePacs, Handler, Received, answer, dicom_json

EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
STUDY_FIELDS = ("StudyInstanceUID", "PatientID", "PatientName", "IssuerOfPatientID", "StudyDescription", "StudyDate")
SERIES_FIELDS = ("SeriesInstanceUID", "Modality", "SeriesDescription")
INSTANCE_FIELDS = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber")
ANY_FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


def image(
    patient: str = "P1",
    study: str = "",
    series: str = "",
    *,
    rows: int = 8,
    columns: int = 8,
    frames: int = 1,
    bits: int = 16,
    stored: int | None = None,
    signed: bool = False,
    samples: int = 1,
    seed: int = 1,
    **attributes: Any,
) -> Dataset:
    """Make an image of random pixels, Explicit VR Little Endian."""
    made = Dataset()
    made.PatientID, made.PatientName = patient, f"CANARY^{patient}"
    made.StudyInstanceUID, made.SeriesInstanceUID = study or generate_uid(), series or generate_uid()
    made.SOPInstanceUID, made.SOPClassUID = generate_uid(), "1.2.840.10008.5.1.4.1.1.7"
    made.Modality, made.StudyDate, made.StudyDescription = "OT", "20260101", "made up"
    made.Rows, made.Columns, made.NumberOfFrames = rows, columns, str(frames)
    made.SamplesPerPixel = samples
    made.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated, made.BitsStored = bits, stored or bits
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(signed)
    for name, value in attributes.items():
        setattr(made, name, value)
    low, high = (-(2 ** (made.BitsStored - 1)), 2 ** (made.BitsStored - 1)) if signed else (0, 2**made.BitsStored)
    values = np.random.default_rng(seed).integers(low, high, rows * columns * frames * samples)
    pixels = values.astype(np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")).tobytes()
    made.PixelData = pixels + b"\0" * (len(pixels) % 2)
    made["PixelData"].VR = "OW" if bits > 8 else "OB"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPInstanceUID, made.file_meta.MediaStorageSOPClassUID = (
        made.SOPInstanceUID,
        made.SOPClassUID,
    )
    return made


def file_of(dataset: Dataset) -> bytes:
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


@dataclass
class Archive:
    """What the archive holds and which services it has.

    Parameters
    ----------
    lacks
        Services that it does not have: ``metadata``, ``frames``, ``bulkdata``.
    lacking_status
        What it answers for these.
    ignores_filters
        It answers searches with all that it has.
    big_endian
        It returns frames and pixels of 16 bits in Explicit VR Big Endian, and says so.
    counts
        Whether its studies come with NumberOfStudyRelatedInstances.
    hook
        Called with each request before it is answered.
    """

    instances: list[Dataset] = field(default_factory=list)
    lacks: set[str] = field(default_factory=set)
    lacking_status: int = 404
    ignores_filters: bool = False
    big_endian: bool = False
    counts: bool = True
    hook: Callable[[str], None] | None = None
    asked: Counter[str] = field(default_factory=Counter)
    accepts: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *datasets: Dataset) -> None:
        self.instances.extend(datasets)

    def server(self) -> FakePacs:
        return FakePacs(self._answer)

    def _answer(self, handler: Handler, received: Received) -> None:
        path = received.path.removeprefix("/dicom-web")
        kind = self._kind(path)
        with self._lock:
            self.asked[kind] += 1
            self.accepts.append(received.headers.get("accept", ""))
            self.queries.append(received.query)
        if self.hook:
            self.hook(path)
        self._reply(path, kind, received.query)(handler, received)

    @staticmethod
    def _kind(path: str) -> str:
        for end in ("rendered", "thumbnail", "metadata", "studies", "series", "instances"):
            if path.endswith(end):
                return end
        for part in ("frames", "bulkdata"):
            if f"/{part}" in path:
                return part
        return "file"

    def _reply(self, path: str, kind: str, query: Mapping[str, str]) -> Any:
        if kind in self.lacks:
            return answer(self.lacking_status)
        uids = dict(re.findall(r"/(studies|series|instances)/([\d.]+)", path))
        found = [each for each in self.instances if self._matches(each, uids, {})]
        if kind in ("studies", "series", "instances"):
            found = [each for each in found if self.ignores_filters or self._matches(each, {}, query)]
            rows = self._rows(found, kind, query)
            return dicom_json(rows) if rows else answer(204)
        if not found:
            return answer(404)
        if kind == "metadata":
            return dicom_json([metadata_of(each, path) for each in found])
        if kind == "bulkdata":
            name = path.rpartition("/")[2]
            value = bytes(found[0].PixelData) if name == "pixels" else bytes.fromhex(name)
            if self.big_endian:
                return _part(_swapped(value), f"application/octet-stream; transfer-syntax={BIG_ENDIAN}")
            return answer(200, value, "application/octet-stream")
        if kind == "frames":
            return self._frame(found[0], int(path.rpartition("/")[2]))
        return _part(file_of(found[0]), "application/dicom")

    def _frame(self, dataset: Dataset, number: int) -> Any:
        if "PixelData" not in dataset or number > int(dataset.NumberOfFrames):
            return answer(404)
        data, syntax = StoredFrames(io.BytesIO(file_of(dataset))).read(number)
        if self.big_endian:
            data, syntax = _swapped(data), BIG_ENDIAN
        return _part(data, f"application/octet-stream; transfer-syntax={syntax}")

    @staticmethod
    def _matches(dataset: Dataset, uids: Mapping[str, str], query: Mapping[str, str]) -> bool:
        names = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID", "instances": "SOPInstanceUID"}
        wanted = {names[level]: uid for level, uid in uids.items()}
        wanted |= {name: value for name, value in query.items() if name[0].isupper()}
        if "00100020" in query:
            wanted["PatientID"] = query["00100020"]
        return all(
            any(fnmatchcase(str(dataset.get(name, "")), one) for one in value.split(","))
            for name, value in wanted.items()
        )

    def _rows(self, found: list[Dataset], kind: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        fields = STUDY_FIELDS + (SERIES_FIELDS if kind != "studies" else ())
        fields += INSTANCE_FIELDS if kind == "instances" else ()
        rows: dict[str, dict[str, Any]] = {}
        for each in found:
            row = {tag: value for tag, value in each.to_json_dict(bulk_data_element_handler=lambda _: "").items()}
            row = {tag: row[tag] for tag in (f"{each[name].tag:08X}" for name in fields if name in each)}
            row["00081190"] = {"vr": "UR", "Value": ["http://pacs.internal/dicom-web/studies/x"]}
            key = {"studies": str(each.StudyInstanceUID) + each.PatientID, "series": each.SeriesInstanceUID}
            rows.setdefault(key.get(kind, str(each.SOPInstanceUID)), row)
            if kind == "studies" and self.counts:
                own = [one for one in self.instances if one.StudyInstanceUID == each.StudyInstanceUID]
                row["00201206"] = {"vr": "IS", "Value": [len({one.SeriesInstanceUID for one in own})]}
                row["00201208"] = {"vr": "IS", "Value": [len(own)]}
        start, limit = int(query.get("offset", 0)), int(query.get("limit", 0))
        return list(rows.values())[start : start + limit if limit else None]


def metadata_of(dataset: Dataset, path: str = "") -> dict[str, Any]:
    """Return metadata as a PACS does, bulk data by links of its own."""
    return dataset.to_json_dict(
        bulk_data_threshold=64,
        bulk_data_element_handler=lambda element: _bulk_link(dataset, element),
    )


def _bulk_link(dataset: Dataset, element: DataElement) -> str:
    place = f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
    # A name by which the archive finds it again: short values by themselves.
    name = "pixels" if element.tag == 0x7FE00010 else bytes(element.value).hex()
    return f"http://pacs.internal/dicom-web/{place}/bulkdata/{name}"


def _swapped(samples: bytes) -> bytes:
    return np.frombuffer(samples, "<u2").byteswap().tobytes()


def _part(content: bytes, content_type: str) -> Any:
    body = f"--b\r\nContent-Type: {content_type}\r\n\r\n".encode() + content + b"\r\n--b--\r\n"
    return answer(200, body, f'multipart/related; type="{content_type.partition(";")[0]}"; boundary=b')


def compressed(dataset: Dataset, syntax: str) -> Dataset:
    """Return the image compressed into another transfer syntax."""
    copy = pydicom.dcmread(io.BytesIO(file_of(dataset)))
    copy.compress(UID(syntax), generate_instance_uid=False)
    return copy


@dataclass(frozen=True)
class Parts:
    """A multipart/related body, taken apart by the standard library."""

    headers: list[dict[str, str]]
    bodies: list[bytes]

    @classmethod
    def of(cls, content_type: str, body: bytes) -> "Parts":
        from email.parser import BytesParser
        from email.policy import HTTP

        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1"))
        boundary = message.get_boundary()
        assert message.get_content_type() == "multipart/related" and boundary
        head, *pieces, tail = (b"\r\n" + body).split(f"\r\n--{boundary}".encode())
        assert (head, tail) == (b"", b"--\r\n")
        headers, bodies = [], []
        for piece in pieces:
            lines, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            headers.append(
                {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines.decode().split("\r\n"))}
            )
            bodies.append(content)
        return cls(headers, bodies)
