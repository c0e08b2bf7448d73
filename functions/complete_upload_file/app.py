"""POST /uploads/{uploadId}/files/{fileId}/complete: makes one object of the parts of a large file."""

from functools import cache

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import create_app, empty, json_body, serve
from dicom_service.uploads import wiring
from dicom_service.uploads.sessions import Uploads, read_parts

app = create_app()


@cache
def uploads() -> Uploads:
    return wiring.uploads()


@app.post("/uploads/<upload_id>/files/<file_id>/complete")
def complete_upload_file(upload_id: str, file_id: str) -> Response[str]:
    parts = read_parts(json_body(app))
    uploads().complete_file(upload_id, file_id, parts)
    return empty()


lambda_handler = serve(app)
