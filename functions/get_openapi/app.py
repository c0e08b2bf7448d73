"""GET /openapi.json and GET /docs: the contract, for programs and for people."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.contract import contract, page
from dicom_service.edge import answer, base_url, create_app, serve_open

app = create_app()
FOR_AN_HOUR = {"Cache-Control": "public, max-age=3600"}


@app.get("/openapi.json")
def get_openapi() -> Response[Any]:
    return answer(contract(base_url(app)), headers=FOR_AN_HOUR)


@app.get("/docs")
def get_docs() -> Response[Any]:
    html, policy = page()
    headers = {**FOR_AN_HOUR, "Content-Security-Policy": policy}
    return answer(html.encode(), headers=headers, content_type="text/html; charset=utf-8")


lambda_handler = serve_open(app)
