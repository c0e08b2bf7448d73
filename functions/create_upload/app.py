"""POST /uploads: opens a staged upload and returns the presigned requests by which its files go straight to S3."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.audit.recorder import viewer_of
from dicom_service.edge import answer, base_url, create_app, json_body, request_id, serve
from dicom_service.uploads.dependencies import upload_service
from dicom_service.uploads.upload_service import read_files

app = create_app()


@app.post("/uploads")
def create_upload() -> Response[Any]:
    files = read_files(json_body(app))
    url = base_url(app)
    event = app.current_event.raw_event
    opened_by = {**asdict(viewer_of(event)), "requestId": request_id(event)}
    opened = upload_service().open(files, url, opened_by)
    return answer(opened, 201, headers={"Location": f"{url}/uploads/{opened['uploadId']}"})


lambda_handler = serve(app)
