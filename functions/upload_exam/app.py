"""POST /exams: DICOM files of up to 4.5 MB in all go to the PACS at once."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, base_url, body_bytes, create_app, serve
from dicom_service.errors import PayloadTooLarge
from dicom_service.exams.links import with_own_links
from dicom_service.storing.dependencies import store
from dicom_service.storing.request_files import read_files

# API Gateway hands the body over in base64 and Lambda takes 6 MB of that.
LARGEST_BODY = 4_500_000

app = create_app()


@app.post("/exams")
def upload_exam() -> Response[Any]:
    try:
        body = body_bytes(app, LARGEST_BODY)
    except PayloadTooLarge as error:
        raise PayloadTooLarge(
            f"{error.detail} Open a staged upload with POST /uploads: it takes files of any size.",
            code="USE_UPLOADS",
            **error.members,
        ) from error
    files = read_files(app.current_event.headers.get("content-type") or "", body)
    stored = store()(files)
    return answer([with_own_links(stored.dataset, base_url(app))], 200 if stored.complete else 202)


lambda_handler = serve(app)
