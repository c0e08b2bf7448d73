"""The DICOMDIR of an archive (PS3.10 §8, PS3.3 Annex F): patient, study, series and instance as directory records.

`pydicom.fileset` says which record an instance has and what is in it, but holds the whole file-set as datasets of
20 kB each. Here a record is encoded when its file is added and kept as its bytes, 300 of them; where each stands, and
so what refers to it, is known in the end. What a record must have and a file lacks is invented, as DCMTK's ``dcmmkdir``
does.
"""

import io
import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_ITEM = struct.Struct("<HHI")
_LEVELS = ("PATIENT", "STUDY", "SERIES")
# What dcmmkdir invents.
_INVENTED = {
    "PATIENT": {"PatientID": "UNKNOWN"},
    "STUDY": {"StudyDate": "19000101", "StudyTime": "000000", "StudyID": "1"},
    "SERIES": {"Modality": "OT"},
}
_INVENTED_OF_INSTANCE = {
    "ContentDate": "19000101",
    "ContentTime": "000000",
    "CompletionFlag": "PARTIAL",
    "VerificationFlag": "UNVERIFIED",
    "MIMETypeOfEncapsulatedDocument": "application/octet-stream",
}
_ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."
_UNFIT = (ValueError, KeyError, AttributeError, TypeError, NotImplementedError)


@dataclass
class _Node:
    """A record and those below it."""

    record: bytes
    below: "dict[str, _Node]" = field(default_factory=dict)

    def to_json(self) -> list[Any]:
        return [self.record.decode("latin-1"), {name: node.to_json() for name, node in self.below.items()}]

    @classmethod
    def of(cls, value: Sequence[Any]) -> "_Node":
        return cls(value[0].encode("latin-1"), {name: cls.of(node) for name, node in value[1].items()})

    def length(self) -> int:
        return 8 + _PREFIX + len(self.record)

    def walk(self) -> "Iterator[_Node]":
        yield self
        for node in self.below.values():
            yield from node.walk()


# Next record, record in use, lower level: the elements that each record begins with (PS3.3 Table F.3-3).
_PREFIX = 12 + 10 + 12


class Directory:
    """Collects the records of an archive.

    Parameters
    ----------
    kept
        What `to_json` returned in an earlier invocation.
    """

    def __init__(self, kept: Sequence[Any] | None = None) -> None:
        self._root = _Node.of(kept) if kept else _Node(b"")

    def to_json(self) -> list[Any]:
        """Return what is needed to go on."""
        return self._root.to_json()

    def add(self, header: "Dataset", file_id: Sequence[str], number: int) -> None:
        """Add an instance.

        Parameters
        ----------
        header
            Its elements but for pixels; with the file meta information.
        file_id
            Its path, by its components (PS3.10 §8.5).
        number
            What stands in for its InstanceNumber where it has none.
        """
        node = self._root
        keys = (str(header.get("PatientID", "")), str(header.get("StudyInstanceUID", "")), _uid(header, "Series"))
        for level, key in zip(_LEVELS, keys, strict=True):
            if key not in node.below:
                invented = {**_INVENTED[level], "SeriesNumber": str(len(node.below) + 1)}
                node.below[key] = _Node(_encode(_record(header, level, invented)))
            node = node.below[key]
        node.below["\\".join(file_id)] = _Node(_encode(_of_instance(header, file_id, number)))

    def write(self, instance_uid: str) -> bytes:
        """Return the DICOMDIR.

        Parameters
        ----------
        instance_uid
            The SOPInstanceUID of the file-set.
        """
        start = len(_head(instance_uid, 0, 0, 0))
        places: dict[int, int] = {}
        position = start
        nodes = [node for patient in self._root.below.values() for node in patient.walk()]
        for node in nodes:
            places[id(node)] = position
            position += node.length()
        patients = [places[id(node)] for node in self._root.below.values()]
        out = io.BytesIO()
        out.write(_head(instance_uid, patients[0], patients[-1], position - start))
        next_of = _next_places(self._root, places)
        for node in nodes:
            lower = next((places[id(below)] for below in node.below.values()), 0)
            out.write(_ITEM.pack(0xFFFE, 0xE000, node.length() - 8))
            out.write(struct.pack("<HH2sHI", 0x0004, 0x1400, b"UL", 4, next_of.get(id(node), 0)))
            out.write(struct.pack("<HH2sHH", 0x0004, 0x1410, b"US", 2, 0xFFFF))
            out.write(struct.pack("<HH2sHI", 0x0004, 0x1420, b"UL", 4, lower))
            out.write(node.record)
        return out.getvalue()


def _next_places(node: _Node, places: dict[int, int]) -> dict[int, int]:
    """Return for each record where the next of its level is."""
    found: dict[int, int] = {}
    below = list(node.below.values())
    for one, following in itertools.pairwise(below):
        found[id(one)] = places[id(following)]
    for one in below:
        found |= _next_places(one, places)
    return found


def _head(instance_uid: str, first: int, last: int, length: int) -> bytes:
    """Return what stands before the first record."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset, write_file_meta_info
    from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = UID(instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("2.25.208306137516742843838583497120087563741")
    out = _explicit(DicomBytesIO())
    out.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(out, meta)
    dataset = Dataset()
    dataset.FileSetID = "EXAM"
    dataset.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = first
    dataset.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = last
    dataset.FileSetConsistencyFlag = 0
    write_dataset(out, dataset)
    out.write(struct.pack("<HH2sHI", 0x0004, 0x1220, b"SQ", 0, length))
    return bytes(out.getvalue())


def _explicit(out: Any) -> Any:
    out.is_little_endian, out.is_implicit_VR = True, False
    return out


def _uid(header: "Dataset", level: str) -> str:
    return str(header.get(f"{level}InstanceUID", ""))


def _record(header: "Dataset", kind: str, invented: dict[str, str]) -> "Dataset":
    from pydicom.fileset import DIRECTORY_RECORDERS

    for keyword, value in invented.items():
        if not str(header.get(keyword) or "").strip():
            setattr(header, keyword, value)
    record = DIRECTORY_RECORDERS[kind](header)
    record.DirectoryRecordType = kind
    if "SpecificCharacterSet" in header:
        record.SpecificCharacterSet = header.SpecificCharacterSet
    return record


def _of_instance(header: "Dataset", file_id: Sequence[str], number: int) -> "Dataset":
    from pydicom.fileset import _four_level_record_type

    invented = {**_INVENTED_OF_INSTANCE, "InstanceNumber": str(number)}
    # pydicom knows it by the document, which is not read here.
    is_document = str(header.SOPClassUID).startswith(_ENCAPSULATED)
    try:
        record = _record(header, "ENCAP DOC" if is_document else _four_level_record_type(header), invented)
    except _UNFIT:
        # It lacks what its own record needs: that of an image needs nothing but a number.
        record = _record(header, "IMAGE", invented)
    record.ReferencedFileID = list(file_id)
    record.ReferencedSOPClassUIDInFile = header.SOPClassUID
    record.ReferencedSOPInstanceUIDInFile = header.SOPInstanceUID
    record.ReferencedTransferSyntaxUIDInFile = header.file_meta.TransferSyntaxUID
    return record


def _encode(record: "Dataset") -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    out = _explicit(DicomBytesIO())
    write_dataset(out, record)
    return bytes(out.getvalue())
