"""GET …/thumbnail: one small picture that represents an exam or a series."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import check_uid, check_uids, create_app, serve
from dicom_service.exams.dependencies import scope_of
from dicom_service.query import Query
from dicom_service.thumbnails.dependencies import thumbnailer
from dicom_service.thumbnails.parameters import parse_thumbnail_request
from dicom_service.thumbnails.representative import (
    select_representative_instance_of_series,
    select_representative_instance_of_study,
)
from dicom_service.thumbnails.response import thumbnail_response
from dicom_service.thumbnails.thumbnailer import ThumbnailRequest

app = create_app()


def read_request() -> ThumbnailRequest:
    query = Query(app, "fileType", "size")
    request = parse_thumbnail_request(query)
    query.check()
    return request


@app.get("/exams/studies/<studyUID>/thumbnail")
def study_thumbnail(studyUID: str) -> Response[Any]:
    request, scope = read_request(), scope_of(app)
    with pacs().shared_deadline():
        name = select_representative_instance_of_study(pacs(), check_uid("studyUID", studyUID), scope)
        return thumbnail_response(app, thumbnailer().get(name, request, scope))


@app.get("/exams/studies/<studyUID>/series/<seriesUID>/thumbnail")
def series_thumbnail(studyUID: str, seriesUID: str) -> Response[Any]:
    request, scope = read_request(), scope_of(app)
    study_uid, series_uid = check_uids(studyUID=studyUID, seriesUID=seriesUID)
    with pacs().shared_deadline():
        name = select_representative_instance_of_series(pacs(), study_uid, series_uid, scope)
        return thumbnail_response(app, thumbnailer().get(name, request, scope))


lambda_handler = serve(app)
