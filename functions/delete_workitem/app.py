"""DELETE /workitems/{studyInstanceUID}: takes a workitem off the worklist."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import check_uid, create_app, empty, serve
from dicom_service.worklist.dependencies import worklist_service
from dicom_service.worklist.listing import note_workitem

app = create_app()


@app.delete("/workitems/<studyInstanceUID>")
def delete_workitem(studyInstanceUID: str) -> Response[Any]:
    note_workitem(worklist_service().delete(check_uid("studyInstanceUID", studyInstanceUID)))
    return empty()


lambda_handler = serve(app)
