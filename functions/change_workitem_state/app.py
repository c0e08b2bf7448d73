"""PUT /workitems/{studyInstanceUID}/state: begins, completes or cancels a workitem."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import check_uid, create_app, empty, json_body, serve
from dicom_service.worklist.dependencies import worklist_service
from dicom_service.worklist.listing import note_workitem

app = create_app()


@app.put("/workitems/<studyInstanceUID>/state")
def change_workitem_state(studyInstanceUID: str) -> Response[Any]:
    study_uid = check_uid("studyInstanceUID", studyInstanceUID)
    note_workitem(worklist_service().change_state(study_uid, json_body(app)))
    return empty()


lambda_handler = serve(app)
