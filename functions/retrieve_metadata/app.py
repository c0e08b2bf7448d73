"""GET /dicomweb/…/metadata: the attributes of a study, a series or an instance, without bulk data (WADO-RS)."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.conditions import caller_has
from dicom_service.dependencies import pacs
from dicom_service.edge import check_uid, create_app, empty, serve
from dicom_service.exams.dependencies import scope_of
from dicom_service.origin_server.accept import check_takes_json
from dicom_service.origin_server.answers import Delivery, compressed_answer, etag, private, root_url
from dicom_service.origin_server.dependencies import metadata, shared_cache, states

app = create_app()


def metadata_of(studyUID: str, seriesUID: str | None = None, instanceUID: str | None = None) -> Response[Any]:
    check_takes_json(app)
    scope, root = scope_of(app), root_url(app)
    study_uid = check_uid("studyUID", studyUID)
    series_uid = check_uid("seriesUID", seriesUID) if seriesUID is not None else None
    instance_uid = check_uid("instanceUID", instanceUID) if instanceUID is not None else None
    with pacs().shared_deadline():
        state = states().find(study_uid, scope, max_age=0)
        tag = etag(state.revision, root, app.current_event.path)
        headers = {**private(0), "ETag": tag}
        if caller_has(app, tag):
            return empty(304, headers=headers)
        compressed = metadata().get(state, series_uid, instance_uid, scope, root)
    return compressed_answer(app, compressed, Delivery(shared_cache(), state, headers))


@app.get("/dicomweb/studies/<studyUID>/metadata")
def study_metadata(studyUID: str) -> Response[Any]:
    return metadata_of(studyUID)


@app.get("/dicomweb/studies/<studyUID>/series/<seriesUID>/metadata")
def series_metadata(studyUID: str, seriesUID: str) -> Response[Any]:
    return metadata_of(studyUID, seriesUID)


@app.get("/dicomweb/studies/<studyUID>/series/<seriesUID>/instances/<instanceUID>/metadata")
def instance_metadata(studyUID: str, seriesUID: str, instanceUID: str) -> Response[Any]:
    return metadata_of(studyUID, seriesUID, instanceUID)


lambda_handler = serve(app)
