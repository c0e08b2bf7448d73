"""Lists exams, series and instances from the PACS (QIDO-RS, PS3.18 §10.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.audit.notes import note_rows
from dicom_service.edge import answer, base_url, compressible_answer
from dicom_service.errors import NotFound
from dicom_service.exams.links import with_own_links
from dicom_service.exams.missing_counts import complete_series, complete_studies
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.exams.simple import simplify
from dicom_service.pacs import pacs_errors
from dicom_service.patient import PATIENT_FIELDS, Patient
from dicom_service.query import Query
from dicomweb.dataset import SearchResult, text

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

PAGE = ("limit", "offset", "format")
FILTERS = ("patientID", "patientName", "from", "to", "modality", "accessionNumber", "studyUID")
DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET = 100, 1000, 1_000_000
_NO_STUDY = "The PACS has no exam with this StudyInstanceUID."
_NO_STUDY_OF_PATIENT = "The PACS has no exam of this patient alone with this StudyInstanceUID."
_NO_SERIES = "The PACS has no such series in this exam."
# Attributes that users expect beyond those that PS3.18 Table 10.6.3-3 has every PACS return.
STUDY_FIELDS = ("StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")


@dataclass(frozen=True)
class Page:
    """The requested rows of a list, and their format."""

    limit: int
    offset: int
    simple: bool


def read_page(query: Query) -> Page:
    """Read ``limit``, ``offset`` and ``format``."""
    return Page(
        limit=query.integer("limit", default=DEFAULT_LIMIT, minimum=1, maximum=MAX_LIMIT),
        offset=query.integer("offset", default=0, minimum=0, maximum=MAX_OFFSET),
        simple=read_format(query),
    )


def read_format(query: Query) -> bool:
    """Read ``format``; return whether it is ``simple``."""
    return bool(query.choice("format", ("dicom", "simple"), default="dicom") == "simple")


def study_filters(query: Query) -> dict[str, str]:
    """Read the filters of the exam list, as QIDO-RS attributes by keyword."""
    start, end = query.date_range("from", "to")
    filters = {
        "PatientID": query.exact("patientID"),
        "PatientName": query.name_pattern("patientName"),
        "StudyDate": f"{start or ''}-{end or ''}" if start or end else None,
        "ModalitiesInStudy": query.exact("modality", longest=16),
        "AccessionNumber": query.exact("accessionNumber", longest=16),
        "StudyInstanceUID": query.uid("studyUID"),
    }
    return {keyword: value for keyword, value in filters.items() if value}


def search_studies(client: "DicomwebClient", filters: Mapping[str, str], page: Page) -> "SearchResult":
    """Search for exams; the result may be empty."""
    with pacs_errors():
        found = client.search_for_studies(
            filters,
            limit=page.limit,
            offset=page.offset,
            fuzzy="PatientName" in filters,
            includefields=STUDY_FIELDS,
        )
    note_rows(found.datasets)
    complete_studies(client, found.datasets)
    return found


def find_study(client: "DicomwebClient", study_uid: str, scope: PatientScope) -> dict[str, Any]:
    """Return one exam.

    Raises
    ------
    NotFound
        The PACS does not have it.
    PacsError
        The PACS cannot be asked.
    """
    with pacs_errors(_NO_STUDY):
        found = client.search_for_studies({"StudyInstanceUID": study_uid}, limit=2, includefields=STUDY_FIELDS)
    # Some PACS ignore a filter that they do not understand and return everything.
    rows = [row for row in found.datasets if text(row, "0020000D") == study_uid]
    if not rows:
        raise NotFound(_NO_STUDY)
    scope.check_rows(rows)
    complete_studies(client, rows[:1])
    return dict(rows[0])


def check_patient(client: "DicomwebClient", study_uid: str, patient_id: str | None) -> None:
    """Reject the exam of another patient when the caller names the patient; without a name, do nothing.

    Raises
    ------
    NotFound
        The PACS does not have the exam, or has another patient's images in it.
    PacsError
        The PACS cannot be asked.
    """
    if patient_id is None:
        return
    with pacs_errors(_NO_STUDY):
        found = client.search_for_studies({"StudyInstanceUID": study_uid}, includefields=PATIENT_FIELDS)
    # Some PACS ignore a filter that they do not understand and return everything.
    patients = [Patient.from_dataset(row) for row in found.datasets if text(row, "0020000D") == study_uid]
    if not patients or any(patient.patient_id != patient_id for patient in patients):
        raise NotFound(_NO_STUDY_OF_PATIENT)


def search_series(client: "DicomwebClient", study_uid: str, page: Page, scope: PatientScope) -> "SearchResult":
    """List the series of an exam.

    Raises
    ------
    NotFound
        The PACS does not have the exam.
    PacsError
        The PACS cannot be asked.
    """
    with pacs_errors(_NO_STUDY):
        found = client.search_for_series(
            study_uid, limit=page.limit, offset=page.offset, includefields=scope.extra_fields
        )
    # An exam has at least one series: an empty first page means that there is no such exam.
    if not found.datasets and page.offset == 0:
        raise NotFound(_NO_STUDY)
    scope.check_rows(found.datasets)
    complete_series(client, study_uid, found.datasets)
    return found


def search_instances(
    client: "DicomwebClient", study_uid: str, series_uid: str, page: Page, scope: PatientScope
) -> "SearchResult":
    """List the instances of a series.

    Raises
    ------
    NotFound
        The PACS does not have the series.
    PacsError
        The PACS cannot be asked.
    """
    with pacs_errors(_NO_SERIES):
        found = client.search_for_instances(
            study_uid, series_uid, limit=page.limit, offset=page.offset, includefields=scope.extra_fields
        )
    if not found.datasets and page.offset == 0:
        raise NotFound(_NO_SERIES)
    scope.check_rows(found.datasets)
    return found


def list_response(app: APIGatewayRestResolver, found: "SearchResult", page: Page) -> Response[Any]:
    """Return the response with the rows of a page, and a link to the next page if there is one (RFC 8288)."""
    base = base_url(app)
    rows = [with_own_links(dataset, base) for dataset in found.datasets]
    if page.simple:
        rows = [simplify(row) for row in rows]
    headers = {"Link": f'<{_next_url(app, page)}>; rel="next"'} if found.more else {}
    return compressible_answer(app, rows, headers=headers)


def study_response(app: APIGatewayRestResolver, dataset: dict[str, Any], *, simple: bool) -> Response[Any]:
    """Return the response with one exam."""
    row = with_own_links(dataset, base_url(app))
    return answer(simplify(row) if simple else row)


def _next_url(app: APIGatewayRestResolver, page: Page) -> str:
    event = app.current_event.raw_event
    given = event.get("queryStringParameters") or {}
    kept = {name: value for name, value in given.items() if name.lower() not in ("limit", "offset")}
    query = urlencode({**kept, "limit": page.limit, "offset": page.offset + page.limit})
    return f"{base_url(app)}{event['path']}?{query}"
