"""GET /uploads/{uploadId}: the progress of an upload, file by file."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.audit.notes import note_fields
from dicom_service.edge import answer, create_app, serve
from dicom_service.uploads.dependencies import upload_service

app = create_app()


@app.get("/uploads/<upload_id>")
def get_upload(upload_id: str) -> Response[Any]:
    progress = upload_service().progress(upload_id)
    for study in progress["studies"]:
        note_fields(study)
    return answer(progress)


lambda_handler = serve(app)
