"""GET one instance: the DICOM file itself, or a picture of it."""

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, check_uid, create_app, empty, serve
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.download import check_download
from dicom_service.exams.fetching import FetchSettings, give_file
from dicom_service.exams.pictures import DICOM, PictureCache, PictureSettings, read_file_type, read_wanted, show
from dicom_service.exams.retrieve import CacheSettings, InstanceName
from dicom_service.exams.scope import scope_of
from dicom_service.exams.thumbnails import Thumbnailer
from dicom_service.pacs import connect
from dicom_service.query import Query
from dicom_service.settings import PacsSettings, load
from dicomweb.client import DicomwebClient

app = create_app()


@cache
def client() -> DicomwebClient:
    return connect(load(PacsSettings))


@cache
def thumbnailer() -> Thumbnailer:
    return Thumbnailer(client(), Capabilities(), allow_burned_in=load(PictureSettings).allow_burned_in)


# The reference spells it `instance`, the standard `instances`.
@app.get("/exams/studies/<studyUID>/series/<seriesUID>/instance/<instanceUID>")
@app.get("/exams/studies/<studyUID>/series/<seriesUID>/instances/<instanceUID>")
def get_instance(studyUID: str, seriesUID: str, instanceUID: str) -> Response[Any]:
    query = Query(app, "fileType", "size")
    file_type = read_file_type(query)
    name = InstanceName(
        check_uid("studyUID", studyUID), check_uid("seriesUID", seriesUID), check_uid("instanceUID", instanceUID)
    )
    scope = scope_of(app)
    cache_settings = load(CacheSettings)
    if file_type != DICOM:
        wanted = read_wanted(query)
        query.check()
        with client().shared_deadline():
            return show(app, thumbnailer(), PictureCache(cache_settings), name, wanted, scope)
    check_download(app.current_event.raw_event, client(), name)
    retrieved = give_file(client(), name, cache_settings, load(FetchSettings), scope)
    if retrieved.link is not None:
        return empty(303, headers={"Location": retrieved.link})
    headers = {"Content-Disposition": f'attachment; filename="{name.file_name}"'}
    return answer(retrieved.content, headers=headers, content_type=DICOM)


lambda_handler = serve(app)
