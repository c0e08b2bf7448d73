"""GET …/thumbnail: one small picture that stands for an exam or a series."""

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import check_uid, create_app, serve
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.pictures import PictureCache, PictureSettings, read_wanted, show
from dicom_service.exams.representative import represent_series, represent_study
from dicom_service.exams.retrieve import CacheSettings
from dicom_service.exams.scope import scope_of
from dicom_service.exams.thumbnails import Thumbnailer, Wanted
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


def read() -> Wanted:
    query = Query(app, "fileType", "size")
    wanted = read_wanted(query)
    query.check()
    return wanted


@app.get("/exams/studies/<studyUID>/thumbnail")
def study_thumbnail(studyUID: str) -> Response[Any]:
    wanted, scope = read(), scope_of(app)
    with client().shared_deadline():
        name = represent_study(client(), check_uid("studyUID", studyUID), scope)
        return show(app, thumbnailer(), PictureCache(load(CacheSettings)), name, wanted, scope)


@app.get("/exams/studies/<studyUID>/series/<seriesUID>/thumbnail")
def series_thumbnail(studyUID: str, seriesUID: str) -> Response[Any]:
    wanted, scope = read(), scope_of(app)
    with client().shared_deadline():
        name = represent_series(client(), check_uid("studyUID", studyUID), check_uid("seriesUID", seriesUID), scope)
        return show(app, thumbnailer(), PictureCache(load(CacheSettings)), name, wanted, scope)


lambda_handler = serve(app)
