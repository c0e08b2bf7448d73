"""Puts an archive together: instances under PS3.12 names, then DICOMDIR, the page, and a text that explains both.

Paths are of capital letters and digits, eight at most (PS3.10 §8.5, PS3.12 Annex F), so that every viewer and every
medium takes them.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from dicom_service.archive.dicomdir import Directory
from dicom_service.archive.page import README, page, pdf_frame
from dicom_service.archive.sr_html import to_html
from dicom_service.archive.zip_stream import ZipStream, pieces_of
from dicom_service.bounded_dataset import read_bounded
from dicom_service.element_walk import NotDicom
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.report import is_report, report_of
from dicom_service.native_syntaxes import DEFLATED, IMPLICIT_LITTLE
from dicom_service.unreadable import unreadable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Pictures of the page: of one series, and of all together.
_OF_SERIES, _OF_EXAM = 40, 240
_PICTURE = 384
# A report is read whole up to this size.
_LARGEST_REPORT = 32 * 1024 * 1024
# What is read of a deflated file, once inflated; and how large one may be then to have a picture.
_MOST_INFLATED = 32 * 1024 * 1024
_LARGEST_INFLATED_IMAGE = 64 * 1024 * 1024
_TAGS = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyDate", "ContentDate", "StudyTime", "ContentTime"),
    *("AccessionNumber", "Modality", "InstitutionName", "StudyDescription", "SeriesDescription", "PatientName"),
    *("PatientID", "IssuerOfPatientID", "PatientBirthDate", "BodyPartExamined", "StudyInstanceUID", "StudyID"),
    *("SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "NumberOfFrames", "Rows", "Columns", "BurnedInAnnotation"),
    *("ImageType", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    # What directory records of other kinds have (PS3.3 Annex F.5).
    *("CompletionFlag", "VerificationFlag", "VerificationDateTime", "ConceptNameCodeSequence", "DocumentTitle"),
    *("MIMETypeOfEncapsulatedDocument", "HL7InstanceIdentifier", "PresentationCreationDate", "ContentLabel"),
    *("PresentationCreationTime", "ContentDescription", "ContentCreatorName", "ReferencedSeriesSequence"),
    *("BlendingSequence", "DoseSummationType", "StructureSetLabel", "StructureSetDate", "StructureSetTime"),
    *("RTPlanLabel", "RTPlanDate", "RTPlanTime", "TreatmentDate", "TreatmentTime", "DataPointRows"),
    *("DataPointColumns", "ReferencedImageEvidenceSequence"),
)


class Contents:
    """What was collected of the files that are in the ZIP.

    Parameters
    ----------
    counts
        Instances of each series, in order.
    kept
        What `to_json` returned in an earlier invocation.
    pictures
        The pictures made then.
    """

    def __init__(
        self, counts: Mapping[str, int], kept: dict[str, Any] | None = None, pictures: Sequence[bytes] = ()
    ) -> None:
        self._counts = counts
        self._places = {series: place for place, series in enumerate(counts, 1)}
        given = kept or {}
        self._directory = Directory(given.get("directory"))
        self._exam: dict[str, str] = given.get("exam", {})
        self._series: dict[str, dict[str, Any]] = given.get("series", {})
        self.patients: list[list[str]] = given.get("patients", [])
        self.pictures = list(pictures)
        self._reports: int = given.get("reports", 0)

    def to_json(self) -> dict[str, Any]:
        """Return what is needed to go on, but for the pictures."""
        return {
            "directory": self._directory.to_json(),
            "exam": self._exam,
            "series": self._series,
            "patients": self.patients,
            "reports": self._reports,
        }

    def add(
        self, name: InstanceName, place: int, file: BinaryIO, whole: Iterable[bytes] | None, out: ZipStream
    ) -> None:
        """Add an instance to the ZIP, and collect what is said of it.

        Parameters
        ----------
        place
            Its number in its series, from 1.
        file
            It, or its beginning.
        whole
            Its bytes, where the file has only its beginning.
        """
        with _silent():
            self._add(name, place, file, whole, out)

    def _add(
        self, name: InstanceName, place: int, file: BinaryIO, whole: Iterable[bytes] | None, out: ZipStream
    ) -> None:
        header = _header(file, name)
        file_id = ("DICOM", f"SE{self._places[name.series_uid]:06d}", f"IM{place:06d}")
        if whole is None:
            size = file.seek(0, 2)
            out.add("/".join(file_id), pieces_of(file), size=size)
        else:
            out.add("/".join(file_id), whole)
        series = self._series.setdefault(name.series_uid, {"title": _title(header), "pictures": [], "reports": []})
        self._exam = self._exam or _exam_texts(header)
        patient = [str(header.get("PatientID") or ""), str(header.get("IssuerOfPatientID") or "")]
        if patient not in self.patients:
            self.patients.append(patient)
        if whole is None and is_report(str(header.get("SOPClassUID", ""))):
            self._add_report(file, series, out)
        elif whole is None and self._is_shown(name.series_uid, place):
            self._add_picture(file, header, series, place)
        self._directory.add(header, file_id, place)

    def _is_shown(self, series_uid: str, place: int) -> bool:
        count, each = self._counts[series_uid], max(1, min(_OF_SERIES, _OF_EXAM // len(self._counts)))
        # Evenly spaced, the last one included.
        return place * each // count > (place - 1) * each // count if count > each else True

    def _add_picture(self, file: BinaryIO, header: "Dataset", series: dict[str, Any], place: int) -> None:
        import imaging

        syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
        try:
            # Whoever has the archive has these pixels anyway, names that are burned in included.
            if imaging.classify(header, transfer_syntax_uid=syntax, allow_burned_in=True) is not None:
                return
            file.seek(0)
            most = _LARGEST_INFLATED_IMAGE if syntax == DEFLATED else imaging.MAX_FRAME_BYTES
            picture = imaging.render(file, size=_PICTURE, quality=80, max_frame_bytes=most)
        except imaging.ImagingError:
            return
        series["pictures"].append([len(self.pictures), place])
        self.pictures.append(picture.data)

    def _add_report(self, file: BinaryIO, series: dict[str, Any], out: ZipStream) -> None:
        if file.seek(0, 2) > _LARGEST_REPORT:
            return
        try:
            found = report_of(read_bounded(file, _MOST_INFLATED))
        except NotDicom:
            return
        except unreadable():
            return
        if found.pdf is not None:
            self._reports += 1
            path = f"REPORTS/RP{self._reports:06d}.PDF"
            out.add(path, [found.pdf], size=len(found.pdf))
            series["reports"].append(pdf_frame(path))
        elif found.tree is not None:
            series["reports"].append(to_html(found.tree))

    def finish(self, instance_uid: str, out: ZipStream) -> None:
        """Add what is made of all of them: DICOMDIR, page and text.

        Parameters
        ----------
        instance_uid
            The UID of the file-set.
        """
        directory = self._directory.write(instance_uid)
        out.add("DICOMDIR", [directory], size=len(directory))
        series = [{**one, "count": self._counts[uid]} for uid, one in self._series.items()]
        out.add("index.html", page(self._exam, series, self.pictures))
        text = README.replace("\n", "\r\n").encode()
        out.add("README.TXT", [text], size=len(text))


@contextmanager
def _silent() -> Iterator[None]:
    """Accept values as they are and silence pydicom's warnings, which quote them."""
    from pydicom import config

    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def places_in_series(instances: Sequence[tuple[str, str]]) -> Iterator[int]:
    """Yield for each instance its number in its series, from 1."""
    seen: dict[str, int] = {}
    for series, _ in instances:
        seen[series] = seen.get(series, 0) + 1
        yield seen[series]


def _header(file: BinaryIO, name: InstanceName) -> "Dataset":
    """Read what is needed of a file; what cannot be read is known by its UIDs alone."""
    from pydicom.dataset import Dataset, FileMetaDataset

    try:
        header = read_bounded(file, _MOST_INFLATED, beginning_of=_TAGS)
    except unreadable():
        header = Dataset()
    # Values are parsed when they are asked for: one that cannot be must not end the archive.
    for tag in list(header.keys()):
        try:
            header[tag]
        except unreadable():
            del header[tag]
    if not hasattr(header, "file_meta"):
        header.file_meta = FileMetaDataset()
    header.file_meta.setdefault("TransferSyntaxUID", IMPLICIT_LITTLE)
    header.setdefault("SOPClassUID", header.file_meta.get("MediaStorageSOPClassUID") or "1.2.840.10008.5.1.4.1.1.7")
    # The PACS is asked by these: what a file says of itself does not count.
    header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID = name.uids
    return header


def _title(header: "Dataset") -> str:
    parts = (header.get("SeriesDescription"), header.get("Modality"), header.get("BodyPartExamined"))
    return ", ".join(str(part) for part in parts if part) or "Series"


def _exam_texts(header: "Dataset") -> dict[str, str]:
    return {
        "Patient": str(header.get("PatientName") or "").replace("^", " ").replace("=", " ").strip(),
        "Patient ID": str(header.get("PatientID") or ""),
        "Date of birth": _day(header.get("PatientBirthDate")),
        "Exam of": _day(header.get("StudyDate")),
        "Description": str(header.get("StudyDescription") or ""),
        "Institution": str(header.get("InstitutionName") or ""),
    }


def _day(value: Any) -> str:
    text = str(value or "")
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 else text
