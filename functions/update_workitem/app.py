"""PATCH /workitems/{studyInstanceUID}: reschedules or corrects a workitem that is still scheduled."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import check_uid, create_app, json_body, serve
from dicom_service.worklist.dependencies import worklist_service
from dicom_service.worklist.listing import single_workitem
from dicomweb.worklist.base import Workitem

app = create_app()


@app.patch("/workitems/<studyInstanceUID>")
def update_workitem(studyInstanceUID: str) -> Response[Any]:
    def update() -> Workitem:
        return worklist_service().update(check_uid("studyInstanceUID", studyInstanceUID), json_body(app))

    return single_workitem(app, update)


lambda_handler = serve(app)
