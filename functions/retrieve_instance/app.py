"""GET /dicomweb/…/instances/{instanceUID}: an instance as a file (WADO-RS), by a link where it is too long."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import check_uids, create_app, empty, serve
from dicom_service.exams.dependencies import scope_of
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.origin_server.accept import accepted
from dicom_service.origin_server.answers import Delivery, deliver_parts, private, root_url
from dicom_service.origin_server.dependencies import instances, shared_cache, states

app = create_app()


@app.get("/dicomweb/studies/<studyUID>/series/<seriesUID>/instances/<instanceUID>")
def retrieve_instance(studyUID: str, seriesUID: str, instanceUID: str) -> Response[Any]:
    name = InstanceName(*check_uids(studyUID=studyUID, seriesUID=seriesUID, instanceUID=instanceUID))
    ranges, scope, location = accepted(app), scope_of(app), "/".join((root_url(app), *name.path))
    with pacs().shared_deadline():
        state = states().find(name.study_uid, scope)
        found = instances().get(name, ranges, scope, location)
    if found.part is None:
        return empty(303, headers={"Location": str(found.url), **private(0)})
    return deliver_parts(app, [found.part], found.is_multipart, Delivery(shared_cache(), state, private(0)))


lambda_handler = serve(app)
