"""GET /exams/studies/{studyUID}/accesses and GET /audit: who saw what."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.audit import listing
from dicom_service.audit.dependencies import reader, subject_hashes
from dicom_service.edge import check_uid, create_app, serve

app = create_app()


@app.get("/exams/studies/<studyUID>/accesses")
def list_accesses(studyUID: str) -> Response[Any]:
    return listing.accesses_of_study(app, reader(), check_uid("studyUID", studyUID))


@app.get("/audit")
def list_audit() -> Response[Any]:
    return listing.audit(app, reader(), subject_hashes)


lambda_handler = serve(app)
