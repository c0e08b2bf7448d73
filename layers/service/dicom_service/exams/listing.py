"""Lists over HTTP: the parameters of a request, and the response with the rows of a page."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.edge import answer, base_url, compressible_answer
from dicom_service.exams.links import with_own_links
from dicom_service.exams.search import Page
from dicom_service.exams.simple import simplify
from dicom_service.query import Query

if TYPE_CHECKING:
    from dicomweb.dataset import SearchResult

PARAMETERS = ("limit", "offset", "format")
FILTERS = ("patientID", "patientName", "from", "to", "modality", "accessionNumber", "studyUID")
MAX_OFFSET = 1_000_000


@dataclass(frozen=True)
class ListRequest:
    """The rows that a caller requests, and whether in the simple format."""

    page: Page
    simple: bool


def read_request(query: Query) -> ListRequest:
    """Read ``limit``, ``offset`` and ``format``."""
    page = Page(query.limit(), query.integer("offset", default=0, minimum=0, maximum=MAX_OFFSET))
    return ListRequest(page, query.is_simple())


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


def list_response(app: APIGatewayRestResolver, found: "SearchResult", request: ListRequest) -> Response[Any]:
    """Return the response with the rows of a page, and a link to the next page if there is one (RFC 8288)."""
    base = base_url(app)
    rows = [with_own_links(dataset, base) for dataset in found.datasets]
    if request.simple:
        rows = [simplify(row) for row in rows]
    headers = {"Link": f'<{_next_url(app, request.page)}>; rel="next"'} if found.more else {}
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
