"""GET /exams/studies/{studyUID}/callbacks: the last report of an exam by the PACS."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.audit.notes import note_fields
from dicom_service.edge import answer, check_uid, create_app, serve
from dicom_service.notifications.callback import read_report
from dicom_service.notifications.dependencies import report_settings
from dicom_service.query import Query

app = create_app()


@app.get("/exams/studies/<studyUID>/callbacks")
def list_callbacks(studyUID: str) -> Response[Any]:
    Query(app).check()
    report = read_report(report_settings().table, check_uid("studyUID", studyUID))
    if report:
        note_fields({**report.fields, "StudyInstanceUID": studyUID})
    return answer([report.row()] if report else [])


lambda_handler = serve(app)
