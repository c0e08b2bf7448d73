"""GET /workitems: the worklist, filtered."""

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import create_app, serve
from dicom_service.worklist import listing
from dicom_service.worklist.opening import open_service
from dicom_service.worklist.service import WorklistService

app = create_app()


@cache
def service() -> WorklistService:
    return open_service()


@app.get("/workitems")
def list_workitems() -> Response[Any]:
    return listing.list_workitems(app, service())


lambda_handler = serve(app)
