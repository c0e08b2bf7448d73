"""GET /exams/studies/{studyUID}/accesses and GET /audit: who saw what."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.audit import listing
from dicom_service.audit.dependencies import reader, subject_hashes
from dicom_service.dependencies import pacs
from dicom_service.edge import check_uid, create_app, serve
from dicom_service.exams.dependencies import scope_of

app = create_app()


@app.get("/exams/studies/<studyUID>/accesses")
def list_accesses(studyUID: str) -> Response[Any]:
    study_uid = check_uid("studyUID", studyUID)
    scope = scope_of(app)
    # Who saw an exam that is another patient's by now is not for its recipient.
    if scope.limited:
        with pacs().shared_deadline():
            scope.revalidate(pacs())
    return listing.accesses_of_study(app, reader(), study_uid)


@app.get("/audit")
def list_audit() -> Response[Any]:
    return listing.audit(app, reader(), subject_hashes)


lambda_handler = serve(app)
