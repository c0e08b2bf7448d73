"""POST /workitems: adds a workitem to the worklist."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.audit.notes import note
from dicom_service.edge import answer, base_url, create_app, json_body, serve
from dicom_service.worklist.dependencies import worklist_service

app = create_app()


@app.post("/workitems")
def create_workitem() -> Response[Any]:
    item = worklist_service().create(json_body(app))
    note(study_uid=item.study_instance_uid)
    created = {
        "StudyInstanceUID": item.study_instance_uid,
        "WorkitemUID": item.workitem_uid,
        "ScheduledProcedureStepID": item.fields["ScheduledProcedureStepID"],
        "State": item.state,
    }
    return answer(created, headers={"Location": f"{base_url(app)}/workitems/{item.study_instance_uid}"})


lambda_handler = serve(app)
