"""GET /health: whether the PACS and the tables are reachable."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import health
from dicom_service.edge import answer, create_app, serve_open

app = create_app()


@app.get("/health")
def get_health() -> Response[Any]:
    report = health().report()
    return answer(report, 200 if report["status"] == "up" else 503)


lambda_handler = serve_open(app)
