"""DELETE /workitems/{studyInstanceUID}: takes a workitem off the worklist."""

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import check_uid, create_app, empty, serve
from dicom_service.worklist.opening import open_service
from dicom_service.worklist.service import WorklistService

app = create_app()


@cache
def service() -> WorklistService:
    return open_service()


@app.delete("/workitems/<studyInstanceUID>")
def delete_workitem(studyInstanceUID: str) -> Response[Any]:
    service().delete(check_uid("studyInstanceUID", studyInstanceUID))
    return empty()


lambda_handler = serve(app)
