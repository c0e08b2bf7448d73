"""GET /exams/studies/{studyUID}/callbacks: the last callback of the PACS about an exam."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.audit.notes import note_fields
from dicom_service.edge import answer, check_uid, create_app, serve
from dicom_service.notifications.callback import read_callback
from dicom_service.notifications.dependencies import callback_read_settings
from dicom_service.query import Query

app = create_app()


@app.get("/exams/studies/<studyUID>/callbacks")
def list_callbacks(studyUID: str) -> Response[Any]:
    Query(app).check()
    callback = read_callback(callback_read_settings().table, check_uid("studyUID", studyUID))
    if callback:
        note_fields({**callback.fields, "StudyInstanceUID": studyUID})
    return answer([callback.row()] if callback else [])


lambda_handler = serve(app)
