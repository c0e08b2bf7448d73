"""GET /dicomweb/studies and below: searches for viewers (QIDO-RS)."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import check_uid, create_app, serve
from dicom_service.exams.dependencies import scope_of
from dicom_service.origin_server.accept import check_takes_json
from dicom_service.origin_server.answers import root_url, rows_answer
from dicom_service.origin_server.dependencies import search
from dicom_service.origin_server.search import Level
from dicom_service.origin_server.search_request import read_search

app = create_app()


def search_at(level: Level) -> Response[Any]:
    check_takes_json(app)
    request = read_search(app)
    with pacs().shared_deadline():
        found = search().rows(level, request, scope_of(app), root_url(app))
    return rows_answer(app, found)


@app.get("/dicomweb/studies")
def search_studies() -> Response[Any]:
    return search_at(Level("studies"))


@app.get("/dicomweb/studies/<studyUID>/series")
def search_series(studyUID: str) -> Response[Any]:
    return search_at(Level("series", check_uid("studyUID", studyUID)))


@app.get("/dicomweb/studies/<studyUID>/instances")
def search_study_instances(studyUID: str) -> Response[Any]:
    return search_at(Level("instances", check_uid("studyUID", studyUID)))


@app.get("/dicomweb/studies/<studyUID>/series/<seriesUID>/instances")
def search_series_instances(studyUID: str, seriesUID: str) -> Response[Any]:
    return search_at(Level("instances", check_uid("studyUID", studyUID), check_uid("seriesUID", seriesUID)))


lambda_handler = serve(app)
