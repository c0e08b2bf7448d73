"""GET /dicomweb/…/rendered and …/thumbnail: an image as JPEG or PNG (WADO-RS)."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import check_uid, check_uids, create_app, serve
from dicom_service.errors import BadRequest
from dicom_service.exams.dependencies import scope_of
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.origin_server.accept import DICOM, not_acceptable
from dicom_service.origin_server.frames import parse_numbers
from dicom_service.origin_server.rendering import read_rendering
from dicom_service.thumbnails.dependencies import thumbnailer
from dicom_service.thumbnails.representative import (
    select_representative_instance_of_series,
    select_representative_instance_of_study,
)
from dicom_service.thumbnails.response import thumbnail_response

app = create_app()
INSTANCE = "/dicomweb/studies/<studyUID>/series/<seriesUID>/instances/<instanceUID>"


@app.get("/dicomweb/studies/<studyUID>/thumbnail")
@app.get("/dicomweb/studies/<studyUID>/series/<seriesUID>/thumbnail")
@app.get(f"{INSTANCE}/thumbnail")
def thumbnail(studyUID: str, seriesUID: str = "", instanceUID: str = "") -> Response[Any]:
    named = {"studyUID": studyUID, "seriesUID": seriesUID, "instanceUID": instanceUID}
    uids = [check_uid(*pair) for pair in named.items() if pair[1]]
    wanted, scope = read_rendering(app), scope_of(app)
    with pacs().shared_deadline():
        if len(uids) == 3:
            name = InstanceName(*uids)
        elif len(uids) == 2:
            name = select_representative_instance_of_series(pacs(), uids[0], uids[1], scope)
        else:
            name = select_representative_instance_of_study(pacs(), uids[0], scope)
        return thumbnail_response(app, thumbnailer().get(name, wanted.thumbnail, scope))


@app.get(f"{INSTANCE}/rendered")
@app.get(f"{INSTANCE}/frames/<frameList>/rendered")
def rendered(studyUID: str, seriesUID: str, instanceUID: str, frameList: str = "") -> Response[Any]:
    name = InstanceName(*check_uids(studyUID=studyUID, seriesUID=seriesUID, instanceUID=instanceUID))
    numbers = parse_numbers(frameList) if frameList else []
    if len(numbers) > 1:
        raise BadRequest("One frame is rendered at a time.", code="INVALID_FRAMES")
    wanted, scope, frame = read_rendering(app), scope_of(app), next(iter(numbers), None)
    with pacs().shared_deadline():
        picture = thumbnailer().get(name, lambda header: wanted.picture(header, frame), scope)
    if picture.is_placeholder:
        raise not_acceptable((DICOM,))
    return thumbnail_response(app, picture)


lambda_handler = serve(app)
