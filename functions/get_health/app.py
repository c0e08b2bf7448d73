"""GET /health: whether the PACS and the tables are reachable."""

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, serve
from dicom_service.health import Health, HealthSettings, check_all
from dicom_service.settings import PacsSettings, load

app = create_app()


@cache
def health() -> Health:
    settings, pacs = load(HealthSettings), load(PacsSettings)
    return Health(lambda: check_all(settings, pacs))


@app.get("/health")
def get_health() -> Response[Any]:
    report = health().report()
    return answer(report, 200 if report["status"] == "up" else 503)


lambda_handler = serve(app)
