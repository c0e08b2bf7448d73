"""GET /workitems/{studyInstanceUID}: one workitem."""

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, check_uid, create_app, serve
from dicom_service.query import Query
from dicom_service.worklist.listing import read_format, shown
from dicom_service.worklist.opening import open_service
from dicom_service.worklist.service import WorklistService

app = create_app()


@cache
def service() -> WorklistService:
    return open_service()


@app.get("/workitems/<studyInstanceUID>")
def get_workitem(studyInstanceUID: str) -> Response[Any]:
    query = Query(app, "format")
    simple = read_format(query)
    query.check()
    item = service().get(check_uid("studyInstanceUID", studyInstanceUID))
    return answer(shown(item, simple=simple))


lambda_handler = serve(app)
