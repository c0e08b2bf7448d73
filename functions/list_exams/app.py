"""GET /exams/studies and below: exams, their series and instances, as the PACS has them."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import check_uid, create_app, serve
from dicom_service.exams import listing, search
from dicom_service.exams.dependencies import scope_of
from dicom_service.query import Query

app = create_app()


@app.get("/exams/studies")
def list_studies() -> Response[Any]:
    query = Query(app, *listing.FILTERS, *listing.PARAMETERS)
    request, filters = listing.read_request(query), listing.study_filters(query)
    query.check()
    return listing.list_response(app, search.search_studies(pacs(), filters, request.page), request)


@app.get("/exams/studies/<studyUID>")
def get_study(studyUID: str) -> Response[Any]:
    query = Query(app, "format")
    simple = query.is_simple()
    query.check()
    study_uid, scope = check_uid("studyUID", studyUID), scope_of(app)
    with pacs().shared_deadline():
        scope.revalidate(pacs())
        return listing.study_response(app, search.find_study(pacs(), study_uid, scope), simple=simple)


@app.get("/exams/studies/<studyUID>/series")
def list_series(studyUID: str) -> Response[Any]:
    query = Query(app, "patientID", *listing.PARAMETERS)
    request, patient_id = listing.read_request(query), query.exact("patientID")
    query.check()
    study_uid, scope = check_uid("studyUID", studyUID), scope_of(app)
    with pacs().shared_deadline():
        scope.revalidate(pacs())
        search.check_patient(pacs(), study_uid, patient_id)
        return listing.list_response(app, search.search_series(pacs(), study_uid, request.page, scope), request)


@app.get("/exams/studies/<studyUID>/series/<seriesUID>/instances")
def list_instances(studyUID: str, seriesUID: str) -> Response[Any]:
    query = Query(app, "patientID", *listing.PARAMETERS)
    request, patient_id = listing.read_request(query), query.exact("patientID")
    query.check()
    study_uid, series_uid, scope = check_uid("studyUID", studyUID), check_uid("seriesUID", seriesUID), scope_of(app)
    with pacs().shared_deadline():
        scope.revalidate(pacs())
        search.check_patient(pacs(), study_uid, patient_id)
        found = search.search_instances(pacs(), study_uid, series_uid, request.page, scope)
    return listing.list_response(app, found, request)


lambda_handler = serve(app)
