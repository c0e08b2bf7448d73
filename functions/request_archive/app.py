"""POST and GET …/archive: an exam as one ZIP, made in the background."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.archive.archive_requests import view
from dicom_service.archive.dependencies import archive_requests
from dicom_service.archive.table import READY, SERVICE
from dicom_service.audit.actions import ARCHIVE_DOWNLOAD
from dicom_service.audit.notes import note_action
from dicom_service.edge import answer, base_url, check_uid, create_app, empty, serve
from dicom_service.exams.dependencies import scope_of
from dicom_service.exams.download_permission import check_whole_exam
from dicom_service.exams.patient_scope import bearer_of
from dicom_service.query import Query

app = create_app()


@app.post("/exams/studies/<studyUID>/archive")
def request_archive(studyUID: str) -> Response[Any]:
    Query(app).check()
    study_uid = check_uid("studyUID", studyUID)
    check_whole_exam(app.current_event.raw_event)
    bearer = bearer_of(app)
    archive = archive_requests().ask(study_uid, scope_of(app), bearer.otp_id if bearer else SERVICE)
    location = f"{base_url(app)}/exams/studies/{study_uid}/archive"
    return answer(view(archive), 202, headers={"Location": location})


@app.get("/exams/studies/<studyUID>/archive")
def get_archive(studyUID: str) -> Response[Any]:
    query = Query(app, "redirect")
    redirect = query.choice("redirect", ("true", "false"), default="true") == "true"
    query.check()
    study_uid = check_uid("studyUID", studyUID)
    check_whole_exam(app.current_event.raw_event)
    archive = archive_requests().find(study_uid, scope_of(app))
    if archive.state != READY:
        return answer(view(archive))
    url = archive_requests().url(archive)
    note_action(ARCHIVE_DOWNLOAD)
    return empty(303, headers={"Location": url}) if redirect else answer({**view(archive), "url": url})


lambda_handler = serve(app)
