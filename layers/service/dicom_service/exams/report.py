"""Reports as people read them: the document of an Encapsulated PDF, or a Structured Report as a tree."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_service.bounded_dataset import read_bounded
from dicom_service.element_walk import NotDicom
from dicom_service.errors import NotFound, PacsError, PayloadTooLarge
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.exams.retrieve import LARGEST_ANSWER, NO_INSTANCE
from dicom_service.pacs_errors import pacs_errors
from dicom_service.unreadable import unreadable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dicomweb.client import DicomwebClient

PDF = "application/pdf"
PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
SR_CLASSES = "1.2.840.10008.5.1.4.1.1.88."
# Memory holds the file, its dataset and the answer.
_LARGEST_FILE = 64 * 1024 * 1024
_PIECE = 1024 * 1024
# Keeps a document that does not fit into an answer, given the beginning of its file; returns a URL that opens it.
Keep = Callable[[InstanceName, bytes, bytes], str]
_DEEPEST, _MOST_ITEMS = 32, 20_000
_TEXTS = {"TEXT": "TextValue", "PNAME": "PersonName", "DATE": "Date", "TIME": "Time", "DATETIME": "DateTime"}


@dataclass(frozen=True)
class Report:
    """A report: a PDF, a URL that opens one, or the tree of a Structured Report.

    Each node of the tree has ``name`` (what is said something about), ``value``, ``unit`` and ``children``.
    """

    pdf: bytes | None = None
    url: str | None = None
    tree: dict[str, Any] | None = None


def fetch_report(client: "DicomwebClient", name: InstanceName, scope: PatientScope, keep: Keep) -> Report:
    """Return the report that an instance is, a PDF that does not fit into an answer as a URL.

    Raises
    ------
    NotFound
        The PACS does not have the instance, or it is no report (``NOT_A_REPORT``).
    PayloadTooLarge
        The file is larger than 64 MiB, or inflates to more.
    PacsError
        The PACS cannot be asked, or returned a file that cannot be read.
    """
    content = _fetch(client, name, scope)
    try:
        report = report_of(read_bounded(io.BytesIO(content), _LARGEST_FILE))
    except NotDicom as error:
        raise (_too_large(_LARGEST_FILE) if error.reason == "DEFLATE_BOMB" else _unreadable()) from error
    except unreadable() as error:
        raise _unreadable() from error
    if report.pdf is not None and len(report.pdf) > LARGEST_ANSWER:
        return Report(url=keep(name, report.pdf, content[:_PIECE]))
    return report


def is_report(sop_class_uid: str) -> bool:
    """Return whether instances of a SOP class are read, not looked at."""
    return sop_class_uid == PDF_CLASS or sop_class_uid.startswith(SR_CLASSES)


def _fetch(client: "DicomwebClient", name: InstanceName, scope: PatientScope) -> bytes:
    with pacs_errors(NO_INSTANCE), client.retrieve_instance(*name.uids) as stream:
        content = b""
        for piece in stream.iter_bytes(_PIECE):
            content += piece
            if len(content) > _LARGEST_FILE:
                raise _too_large(len(content))
    scope.check_file(content[:_PIECE])
    return content


def report_of(dataset: "Dataset") -> Report:
    """Return the report that a dataset is.

    Raises
    ------
    NotFound
        It is none (``NOT_A_REPORT``).
    """
    sop_class = str(dataset.get("SOPClassUID") or "")
    if sop_class == PDF_CLASS:
        # The value has an even length; EncapsulatedDocumentLength tells its own (PS3.3 C.24.2).
        length = dataset.get("EncapsulatedDocumentLength")
        document = bytes(dataset.EncapsulatedDocument)[: int(length) if length else None]
        return Report(pdf=document)
    if sop_class.startswith(SR_CLASSES):
        return Report(tree=_Tree().node(dataset, 0))
    raise NotFound("This instance is no report.", code="NOT_A_REPORT")


def _unreadable() -> PacsError:
    return PacsError("The PACS returned a file that cannot be read.", status=502, code="PACS_ERROR")


def _too_large(size: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The report has {size} bytes or more; fetch the file.", limit=_LARGEST_FILE)


class _Tree:
    """The content tree of a Structured Report (PS3.3 C.17.3), as far as people read it."""

    def __init__(self) -> None:
        self._items = 0

    def node(self, item: "Dataset", depth: int) -> dict[str, Any]:
        self._items += 1
        children = []
        if depth < _DEEPEST:
            for child in item.get("ContentSequence") or []:
                if self._items >= _MOST_ITEMS:
                    break
                children.append(self.node(child, depth + 1))
        value, unit = _value(item)
        name = _meaning(item.get("ConceptNameCodeSequence"))
        return {"name": name, "value": value, "unit": unit, "children": children}


def _value(item: "Dataset") -> tuple[str | None, str | None]:
    kind = str(item.get("ValueType") or "")
    if kind == "NUM":
        measured = (item.get("MeasuredValueSequence") or [None])[0]
        if measured is None:
            return None, None
        unit = (measured.get("MeasurementUnitsCodeSequence") or [None])[0]
        # The code "1" of UCUM is no unit.
        code = "" if unit is None else str(unit.get("CodeValue") or "")
        return str(measured.get("NumericValue") or ""), None if code in ("", "1") else code
    if kind == "CODE":
        return _meaning(item.get("ConceptCodeSequence")), None
    found = item.get(_TEXTS[kind]) if kind in _TEXTS else None
    return (None if found is None else str(found)), None


def _meaning(sequence: Any) -> str | None:
    """Return the words of a coded entry (PS3.3 §8.3)."""
    return str(sequence[0].get("CodeMeaning") or "") or None if sequence else None
