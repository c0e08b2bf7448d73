"""GET /share and below, GET /viewer/…: the pages for people."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import create_app, empty, serve_open
from dicom_service.pages.response import page_response

app = create_app()


@app.get("/share")
def get_share_page() -> Response[Any]:
    return page_response(app, "share")


@app.get("/share/<version>/<file>")
def get_share_file(version: str, file: str) -> Response[Any]:
    return page_response(app, f"share/{version}/{file}")


@app.get("/viewer")
def get_viewer() -> Response[Any]:
    """Lead to the viewer's page, which leads on to the share page where no exam is open."""
    is_folder = app.current_event.path.endswith("/")
    return empty(303, headers={"Location": "viewer" if is_folder else "viewer/viewer"})


@app.get("/viewer/.+")
def get_viewer_file() -> Response[Any]:
    return page_response(app, app.current_event.path.removeprefix("/"))


lambda_handler = serve_open(app)
