"""POST /uploads/{uploadId}/files/{fileId}/complete: makes one object of the parts of a large file."""

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import create_app, empty, json_body, serve
from dicom_service.uploads.dependencies import upload_service
from dicom_service.uploads.upload_service import read_parts

app = create_app()


@app.post("/uploads/<upload_id>/files/<file_id>/complete")
def complete_upload_file(upload_id: str, file_id: str) -> Response[str]:
    parts = read_parts(json_body(app))
    upload_service().complete_file(upload_id, file_id, parts)
    return empty()


lambda_handler = serve(app)
