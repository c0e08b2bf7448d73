"""GET /dicomweb/…/frames/{frames}: frames of an instance (WADO-RS), compressed or by a link where they are too long."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import check_uids, create_app, serve
from dicom_service.exams.dependencies import scope_of
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.origin_server.accept import accepted
from dicom_service.origin_server.answers import KEPT_BY_BROWSER, Delivery, deliver_parts, private, root_url
from dicom_service.origin_server.dependencies import frames, shared_cache, states
from dicom_service.origin_server.frames import parse_numbers

app = create_app()


@app.get("/dicomweb/studies/<studyUID>/series/<seriesUID>/instances/<instanceUID>/frames/<frameList>")
def retrieve_frames(studyUID: str, seriesUID: str, instanceUID: str, frameList: str) -> Response[Any]:
    name = InstanceName(*check_uids(studyUID=studyUID, seriesUID=seriesUID, instanceUID=instanceUID))
    numbers, ranges = parse_numbers(frameList), accepted(app)
    location = "/".join((root_url(app), *name.path, "frames"))
    with pacs().shared_deadline():
        state = states().find(name.study_uid, scope_of(app))
        found = frames().get(state, name, numbers, ranges, location)
    delivery = Delivery(shared_cache(), state, private(KEPT_BY_BROWSER))
    return deliver_parts(app, found.parts, found.is_multipart, delivery)


lambda_handler = serve(app)
