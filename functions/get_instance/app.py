"""GET one instance: the DICOM file itself, or a picture of it."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import answer, check_uids, create_app, empty, serve
from dicom_service.exams.dependencies import retriever, scope_of
from dicom_service.exams.download_permission import check_download
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.query import Query
from dicom_service.thumbnails.dependencies import thumbnailer
from dicom_service.thumbnails.parameters import DICOM, parse_file_type, parse_picture_request
from dicom_service.thumbnails.response import thumbnail_response

app = create_app()


# The reference spells it `instance`, the standard `instances`.
@app.get("/exams/studies/<studyUID>/series/<seriesUID>/instance/<instanceUID>")
@app.get("/exams/studies/<studyUID>/series/<seriesUID>/instances/<instanceUID>")
def get_instance(studyUID: str, seriesUID: str, instanceUID: str) -> Response[Any]:
    query = Query(app, "fileType", "size", "frame", "window")
    file_type = parse_file_type(query)
    name = InstanceName(*check_uids(studyUID=studyUID, seriesUID=seriesUID, instanceUID=instanceUID))
    if file_type != DICOM:
        request = parse_picture_request(query)
        query.check()
        with pacs().shared_deadline():
            return thumbnail_response(app, thumbnailer().get(name, request, scope_of(app)))
    check_download(app.current_event.raw_event, pacs(), name)
    file = retriever().get_or_enqueue(name, scope_of(app))
    if file.url is not None:
        return empty(303, headers={"Location": file.url})
    headers = {"Content-Disposition": f'attachment; filename="{name.file_name}"'}
    return answer(file.content, headers=headers, content_type=DICOM)


lambda_handler = serve(app)
