"""POST /uploads: opens a staged upload and gives the presigned requests by which its files go straight to S3."""

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, base_url, create_app, json_body, serve
from dicom_service.uploads import wiring
from dicom_service.uploads.sessions import Uploads, read_files

app = create_app()


@cache
def uploads() -> Uploads:
    return wiring.uploads()


@app.post("/uploads")
def create_upload() -> Response[Any]:
    files = read_files(json_body(app))
    url = base_url(app)
    opened = uploads().open(files, url)
    return answer(opened, 201, headers={"Location": f"{url}/uploads/{opened['uploadId']}"})


lambda_handler = serve(app)
