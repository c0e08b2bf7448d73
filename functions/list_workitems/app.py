"""GET /workitems: returns the worklist, filtered."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import create_app, serve
from dicom_service.worklist import listing
from dicom_service.worklist.dependencies import worklist_service

app = create_app()


@app.get("/workitems")
def list_workitems() -> Response[Any]:
    return listing.list_workitems(app, worklist_service())


lambda_handler = serve(app)
