"""What this service needs of a PACS, tried against one with the service's own code; docs/pacs.md has the results.

Nothing of a dataset gets into a result: only counts, codes, and which way something came.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dicom_service.errors import NotFound, ServiceError
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.exams.search import Page, search_instances, search_series, search_studies
from dicom_service.notifications.study_snapshot import read_snapshot
from dicom_service.otp.exam import find_exam
from dicom_service.thumbnails.representative import (
    select_representative_instance_of_series,
    select_representative_instance_of_study,
)
from dicom_service.thumbnails.thumbnailer import Thumbnailer, ThumbnailRequest
from dicomweb.client import DicomwebClient, StorePart
from dicomweb.dataset import text
from dicomweb.errors import DicomwebError
from imaging.header import number_of_frames
from tests.support.dicom_files import saved
from tests.support.images import image

PATIENT_ID, PATIENT_NAME, STUDY_DATE = "00100020", "00100010", "00080020"
STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"
STUDY_INSTANCES, SERIES_INSTANCES = "00201208", "00201209"
_PAGE = Page(100, 0)
# A service key's.
EVERYTHING = PatientScope()
_MOST_LOOKED_AT = 50


class NotTried(Exception):
    """A check does not apply; the message says why."""


class Failed(Exception):
    """The PACS answers something else than it should; the message says what."""


@dataclass(frozen=True)
class Result:
    """One line of the report."""

    operation: str
    asks: str
    outcome: str

    @property
    def is_bad(self) -> bool:
        """Whether the operation does not work with this PACS."""
        return self.outcome.startswith("**no**")


@dataclass(frozen=True)
class Subject:
    """The PACS, one exam of it, and whether something may be stored there."""

    client: DicomwebClient
    study_uid: str
    store: bool

    @property
    def row(self) -> dict[str, object]:
        return dict(self.client.search_for_studies({"StudyInstanceUID": self.study_uid}, limit=1).datasets[0])

    def thumbnailer(self) -> Thumbnailer:
        return Thumbnailer(self.client, Capabilities(), allow_burned_in=True)


Check = Callable[[Subject], str]
CHECKS: list[tuple[str, str, Check]] = []


def check(operation: str, asks: str) -> Callable[[Check], Check]:
    """Register a check, which returns the way it went, raises `Failed`, or what the service would answer with."""

    def register(function: Check) -> Check:
        CHECKS.append((operation, asks, function))
        return function

    return register


def run(subject: Subject) -> Iterator[Result]:
    """Try one operation after the other."""
    for operation, asks, function in CHECKS:
        try:
            outcome = function(subject)
        except NotTried as reason:
            outcome = f"not tried: {reason}"
        except Failed as reason:
            outcome = f"**no**: {reason}"
        except ServiceError as error:
            outcome = f"**no**: {error.code}"
        except DicomwebError as error:
            outcome = f"**no**: {type(error).__name__}"
        yield Result(operation, asks, outcome)


def table(results: list[Result]) -> str:
    """Write results as a table in Markdown."""
    rows = [f"| {one.operation} | {one.asks} | {one.outcome} |" for one in results]
    return "\n".join(["| operation | asks the PACS for | works |", "|---|---|---|", *rows])


def some_exam(client: DicomwebClient) -> str:
    """Choose the exam to look at: the first of those that the PACS lists first.

    Raises
    ------
    Failed
        The PACS lists none.
    """
    found = client.search_for_studies(limit=1).datasets
    if not found:
        raise Failed("the PACS has no exam to look at; store one, or allow storing (STORE=1)")
    return text(found[0], STUDY_UID)


def store_exam(client: DicomwebClient) -> str:
    """Store a made-up exam, two images and one with three frames, and return its StudyInstanceUID."""
    study, (one, other) = _uid(), (_uid(), _uid())
    pixels = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    files: list[tuple[str, Any, dict[str, Any]]] = [
        (one, pixels, {}),
        (one, pixels, {}),
        (other, np.stack([pixels] * 3), {"NumberOfFrames": 3}),
    ]
    for number, (series, array, more) in enumerate(files, 1):
        dataset = image(
            array,
            **more,
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            SOPInstanceUID=_uid(),
            InstanceNumber=number,
            PatientID="CONFORMANCE",
            PatientName="Conformance^Test",
            PatientBirthDate="19700101",
            StudyDate="20260131",
            Modality="OT",
        )
        _store(client, dataset.SOPClassUID, InstanceName(study, series, dataset.SOPInstanceUID), saved(dataset))
    return study


def _uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def _store(client: DicomwebClient, sop_class: str, name: InstanceName, data: bytes) -> None:
    part = StorePart(sop_class, name.instance_uid, name.study_uid, name.series_uid, len(data), lambda: iter([data]))
    result = client.store_instances([part])
    if not result.all_stored:
        raise Failed(f"not stored, reason {result.instances[0].failure_reason or 0:04X}")


@check("`GET /health`", "QIDO-RS `/studies?limit=1`")
def _health(subject: Subject) -> str:
    subject.client.ping()
    return "yes"


@check("`GET /exams/studies`", "QIDO-RS `/studies` by StudyInstanceUID, PatientID")
def _studies(subject: Subject) -> str:
    for keyword, tag in (("StudyInstanceUID", STUDY_UID), ("PatientID", PATIENT_ID)):
        wanted = text(subject.row, tag)
        rows = search_studies(subject.client, {keyword: wanted}, _PAGE).datasets
        if not rows or any(text(row, tag) != wanted for row in rows):
            raise Failed(f"the filter {keyword} does not hold")
    return "yes"


@check("… by part of a name", "QIDO-RS `PatientName=Abc*`, fuzzymatching")
def _wildcard(subject: Subject) -> str:
    name = subject.row[PATIENT_NAME]["Value"][0]["Alphabetic"] if PATIENT_NAME in subject.row else ""  # type: ignore[index]
    if len(name) < 3:
        raise NotTried("the exam has no name")
    rows = search_studies(subject.client, {"PatientName": f"{name[:3]}*"}, _PAGE).datasets
    if not rows:
        raise Failed("wildcards match nothing")
    return "yes"


@check("… by date; polling for new exams", "QIDO-RS `StudyDate=from-to`")
def _dates(subject: Subject) -> str:
    day = text(subject.row, STUDY_DATE)
    if not day:
        raise NotTried("the exam has no date")
    rows = search_studies(subject.client, {"StudyDate": f"{day}-{day}"}, _PAGE).datasets
    if not rows or any(text(row, STUDY_DATE) != day for row in rows):
        raise Failed("the range does not hold")
    return "yes"


@check("… its pages", "QIDO-RS `limit`, `offset`")
def _pages(subject: Subject) -> str:
    study, first = subject.study_uid, search_series(subject.client, subject.study_uid, Page(1, 0), EVERYTHING)
    if not first.more:
        raise NotTried("the exam has one series")
    second = search_series(subject.client, study, Page(1, 1), EVERYTHING).datasets
    if len(first.datasets) != 1 or text(first.datasets[0], SERIES_UID) == text(second[0], SERIES_UID):
        raise Failed("limit or offset does not hold")
    return "yes"


@check("… its counts", "QIDO-RS NumberOfStudyRelatedSeries, …Instances")
def _study_counts(subject: Subject) -> str:
    fields = ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")
    filters = {"StudyInstanceUID": subject.study_uid}
    given = subject.client.search_for_studies(filters, limit=1, includefields=fields).datasets[0]
    shown = search_studies(subject.client, filters, _PAGE).datasets[0]
    if not text(shown, STUDY_INSTANCES):
        raise Failed("no counts")
    series = search_series(subject.client, subject.study_uid, _PAGE, EVERYTHING)
    below = sum(int(text(row, SERIES_INSTANCES) or 0) for row in series.datasets)
    if not series.more and int(text(shown, STUDY_INSTANCES)) != below:
        raise Failed("not as many instances as its series have")
    return "yes" if text(given, STUDY_INSTANCES) else "yes: counted by searches below"


@check("`GET …/series`", "QIDO-RS `/studies/{uid}/series`, NumberOfSeriesRelatedInstances")
def _series(subject: Subject) -> str:
    given = subject.client.search_for_series(subject.study_uid).datasets
    shown = search_series(subject.client, subject.study_uid, _PAGE, EVERYTHING).datasets
    if any(text(row, STUDY_UID) not in ("", subject.study_uid) for row in shown):
        raise Failed("series of other exams")
    return "yes" if all(text(row, SERIES_INSTANCES) for row in given) else "yes: counted by searches below"


@check("`GET …/instances`", "QIDO-RS `/studies/{uid}/series/{uid}/instances`")
def _instances(subject: Subject) -> str:
    for row in search_series(subject.client, subject.study_uid, _PAGE, EVERYTHING).datasets:
        search_instances(subject.client, subject.study_uid, text(row, SERIES_UID), _PAGE, EVERYTHING)
    return "yes"


@check("a file, `fileType=application/dicom`", "WADO-RS instance")
def _file(subject: Subject) -> str:
    name = select_representative_instance_of_study(subject.client, subject.study_uid, EVERYTHING)
    with subject.client.retrieve_instance(name.study_uid, name.series_uid, name.instance_uid) as stream:
        beginning = next(stream.iter_bytes(1024), b"")
    if beginning[128:132] != b"DICM":
        raise Failed("what comes is no DICOM file")
    return "yes"


@check("the header of a picture", "WADO-RS `/metadata`")
def _header(subject: Subject) -> str:
    name = select_representative_instance_of_study(subject.client, subject.study_uid, EVERYTHING)
    header = subject.thumbnailer().header(name)
    if text(header, INSTANCE_UID) != name.instance_uid:
        raise Failed("the header of another instance")
    if text(header, PATIENT_ID) != text(subject.row, PATIENT_ID):
        raise Failed("another patient than in the list")
    try:
        subject.client.retrieve_instance_metadata(name.study_uid, name.series_uid, name.instance_uid)
    except DicomwebError:
        return "yes: the beginning of the file"
    return "yes"


@check("an instance that does not exist", "404, or 204, of WADO-RS and QIDO-RS")
def _absent(subject: Subject) -> str:
    name = select_representative_instance_of_study(subject.client, subject.study_uid, EVERYTHING)
    try:
        subject.thumbnailer().header(InstanceName(name.study_uid, name.series_uid, _uid()))
    except NotFound:
        return "yes"
    raise Failed("an instance that nobody stored")


@check("a picture", "WADO-RS `/thumbnail`, `/rendered`")
def _picture(subject: Subject) -> str:
    return _shown(subject, select_representative_instance_of_study(subject.client, subject.study_uid, EVERYTHING))


@check("one frame of many", "WADO-RS `/frames/{n}`")
def _frame(subject: Subject) -> str:
    for row in search_series(subject.client, subject.study_uid, _PAGE, EVERYTHING).datasets[:_MOST_LOOKED_AT]:
        name = select_representative_instance_of_series(
            subject.client, subject.study_uid, text(row, SERIES_UID), EVERYTHING
        )
        if number_of_frames(subject.thumbnailer().header(name)) > 1:
            way = _shown(subject, name)
            try:
                subject.client.retrieve_frame(name.study_uid, name.series_uid, name.instance_uid, 2)
            except DicomwebError:
                return "yes: out of the whole file" if way.startswith("yes") else way
            return way
    raise NotTried("the exam has no instance of several frames")


def _shown(subject: Subject, name: InstanceName) -> str:
    thumbnailer = subject.thumbnailer()
    made = thumbnailer.make(name, thumbnailer.header(name), ThumbnailRequest(256, "image/jpeg"))
    ways = {"pacs": "yes: its thumbnail", "frame": "yes: rendered here", "rendered": "yes: rendered by it"}
    return ways.get(made.source, f"a {made.source}")


@check("one-time passwords", "QIDO-RS `/studies` with PatientID, PatientBirthDate")
def _otp(subject: Subject) -> str:
    exam = find_exam(subject.client, subject.study_uid, text(subject.row, PATIENT_ID))
    return "yes" if exam.birth_date else "yes, but no birth date to ask for"


@check("announcing an exam", "QIDO-RS series and their counts")
def _announcement(subject: Subject) -> str:
    snapshot = read_snapshot(subject.client, subject.study_uid)
    if snapshot is None:
        raise Failed("no instances")
    return "yes"


@check("uploads", "STOW-RS `/studies`")
def _upload(subject: Subject) -> str:
    if not subject.store:
        raise NotTried("read-only; STORE=1 stores a made-up exam")
    return "yes"


@check("the same upload again", "STOW-RS of what is there")
def _upload_again(subject: Subject) -> str:
    if not subject.store:
        raise NotTried("read-only; STORE=1 stores a made-up exam")
    name = select_representative_instance_of_study(subject.client, subject.study_uid, EVERYTHING)
    with subject.client.retrieve_instance(name.study_uid, name.series_uid, name.instance_uid) as stream:
        data = b"".join(stream.iter_bytes())
    before = len(search_instances(subject.client, name.study_uid, name.series_uid, _PAGE, EVERYTHING).datasets)
    _store(subject.client, "1.2.840.10008.5.1.4.1.1.7", name, data)
    after = len(search_instances(subject.client, name.study_uid, name.series_uid, _PAGE, EVERYTHING).datasets)
    if after != before:
        raise Failed("it is there twice")
    return "yes"
