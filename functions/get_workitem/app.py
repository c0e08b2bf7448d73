"""GET /workitems/{studyInstanceUID}: returns one workitem."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import check_uid, create_app, serve
from dicom_service.worklist.dependencies import worklist_service
from dicom_service.worklist.listing import single_workitem

app = create_app()


@app.get("/workitems/<studyInstanceUID>")
def get_workitem(studyInstanceUID: str) -> Response[Any]:
    return single_workitem(app, lambda: worklist_service().get(check_uid("studyInstanceUID", studyInstanceUID)))


lambda_handler = serve(app)
