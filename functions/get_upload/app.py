"""GET /uploads/{uploadId}: how far an upload is, file by file."""

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, serve
from dicom_service.uploads import wiring
from dicom_service.uploads.sessions import Uploads

app = create_app()


@cache
def uploads() -> Uploads:
    return wiring.uploads()


@app.get("/uploads/<upload_id>")
def get_upload(upload_id: str) -> Response[Any]:
    return answer(uploads().progress(upload_id))


lambda_handler = serve(app)
