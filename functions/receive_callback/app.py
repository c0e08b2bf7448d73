"""POST /new-exam-callback: the PACS reports an exam."""

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import create_app, empty, json_body, serve_open
from dicom_service.notifications.callback import LARGEST_BODY
from dicom_service.notifications.dependencies import callbacks

app = create_app()


@app.post("/new-exam-callback")
def receive_callback() -> Response[str]:
    callbacks().take(json_body(app, LARGEST_BODY))
    return empty()


lambda_handler = serve_open(app)
