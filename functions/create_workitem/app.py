"""POST /workitems: adds a workitem to the worklist."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, base_url, create_app, json_body, serve
from dicom_service.worklist.dependencies import worklist_service
from dicom_service.worklist.listing import note_workitem

app = create_app()


@app.post("/workitems")
def create_workitem() -> Response[Any]:
    item = worklist_service().create(json_body(app))
    note_workitem(item)
    created = {
        "StudyInstanceUID": item.study_instance_uid,
        "WorkitemUID": item.workitem_uid,
        "ScheduledProcedureStepID": item.fields["ScheduledProcedureStepID"],
        "State": item.state,
    }
    return answer(created, headers={"Location": f"{base_url(app)}/workitems/{item.study_instance_uid}"})


lambda_handler = serve(app)
