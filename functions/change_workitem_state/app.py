"""PUT /workitems/{studyInstanceUID}/state: begins, completes or cancels a workitem."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import check_uid, create_app, empty, json_body, serve
from dicom_service.worklist.dependencies import worklist_service

app = create_app()


@app.put("/workitems/<studyInstanceUID>/state")
def change_workitem_state(studyInstanceUID: str) -> Response[Any]:
    worklist_service().change_state(check_uid("studyInstanceUID", studyInstanceUID), json_body(app))
    return empty()


lambda_handler = serve(app)
