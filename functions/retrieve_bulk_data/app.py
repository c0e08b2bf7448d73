"""GET /dicomweb/…/bulkdata/{path}: a value that the metadata of an instance refer to (WADO-RS)."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import check_uids, create_app, serve
from dicom_service.exams.dependencies import scope_of
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.origin_server.accept import accepted
from dicom_service.origin_server.answers import KEPT_BY_BROWSER, Delivery, deliver_parts, private, root_url
from dicom_service.origin_server.bulk_data import parse_path
from dicom_service.origin_server.dependencies import bulk_data, shared_cache, states

app = create_app()


@app.get("/dicomweb/studies/<studyUID>/series/<seriesUID>/instances/<instanceUID>/bulkdata/<bulkPath>")
def retrieve_bulk_data(studyUID: str, seriesUID: str, instanceUID: str, bulkPath: str) -> Response[Any]:
    name = InstanceName(*check_uids(studyUID=studyUID, seriesUID=seriesUID, instanceUID=instanceUID))
    path, ranges, scope = parse_path(bulkPath), accepted(app), scope_of(app)
    location = "/".join((root_url(app), *name.path, "bulkdata", path))
    with pacs().shared_deadline():
        state = states().find(name.study_uid, scope)
        parts, is_multipart = bulk_data().get(name, path, ranges, scope, location)
    return deliver_parts(app, parts, is_multipart, Delivery(shared_cache(), state, private(KEPT_BY_BROWSER)))


lambda_handler = serve(app)
