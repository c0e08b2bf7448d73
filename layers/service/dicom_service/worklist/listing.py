"""Workitems over HTTP: the parameters of a request, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.audit.notes import note
from dicom_service.edge import answer, base_url
from dicom_service.patient import Patient
from dicom_service.query import Query as Parameters
from dicom_service.worklist.service import WorklistService
from dicomweb.worklist.base import STATES, Query, Workitem
from dicomweb.worklist.dicom_json import to_mwl, to_simple

FILTERS = ("patientID", "accessionNumber", "modality", "scheduledStationAETitle", "from", "to", "state")


def list_workitems(app: APIGatewayRestResolver, service: WorklistService) -> Response[Any]:
    """Return the response to `GET /workitems`."""
    parameters = Parameters(app, *FILTERS, "limit", "cursor", "format")
    query = _query(parameters)
    limit = parameters.limit()
    cursor = parameters.text("cursor")
    simple = parameters.is_simple()
    parameters.check()
    page = service.search(query, limit=limit, cursor=cursor)
    body = [_body(item, simple=simple) for item in page.items]
    headers = {"Link": _next(app, parameters, page.cursor)} if page.cursor else {}
    return answer(body, headers=headers)


def single_workitem(app: APIGatewayRestResolver, find: Callable[[], Workitem]) -> Response[Any]:
    """Return the response with one workitem, which is found once the parameters are valid."""
    parameters = Parameters(app, "format")
    simple = parameters.is_simple()
    parameters.check()
    return answer(_body(find(), simple=simple))


def note_workitem(item: Workitem) -> None:
    """Note the exam and the patient of a workitem for the audit."""
    note(study_uid=item.study_instance_uid, patient=Patient.of(item.fields.get("PatientID")))


def _body(item: Workitem, *, simple: bool) -> dict[str, Any]:
    note_workitem(item)
    return to_simple(item) if simple else to_mwl(item)


def _query(parameters: Parameters) -> Query:
    start, end = parameters.date_range("from", "to")
    return Query(
        patient_id=parameters.exact("patientID"),
        accession_number=parameters.exact("accessionNumber", longest=16),
        modality=parameters.exact("modality", longest=16),
        station=parameters.exact("scheduledStationAETitle", longest=16),
        state=parameters.choice("state", STATES),
        start=start,
        end=end,
    )


def _next(app: APIGatewayRestResolver, parameters: Parameters, cursor: str) -> str:
    names = (*FILTERS, "limit", "format")
    given = {name: parameters.text(name) for name in names if parameters.text(name) is not None}
    return f'<{base_url(app)}/workitems?{urlencode({**given, "cursor": cursor})}>; rel="next"'
