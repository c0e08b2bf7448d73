"""GET /share, /desk and below, GET /viewer/…: the pages for people; GET /me tells a page who is signed in."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, empty, serve_open
from dicom_service.pages.response import page_response

app = create_app()


@app.get("/share")
def get_share_page() -> Response[Any]:
    return page_response(app, "share")


@app.get("/share/<version>/<file>")
def get_share_file(version: str, file: str) -> Response[Any]:
    return page_response(app, f"share/{version}/{file}")


@app.get("/desk")
def get_desk() -> Response[Any]:
    return page_response(app, "desk")


@app.get("/desk/<version>/<file>")
def get_desk_file(version: str, file: str) -> Response[Any]:
    return page_response(app, f"desk/{version}/{file}")


@app.get("/me")
def get_me() -> Response[Any]:
    caller = app.current_event.raw_event["requestContext"]["authorizer"]
    return answer({"name": caller["principal"], "role": caller["role"]})


@app.get("/viewer")
def get_viewer() -> Response[Any]:
    """Lead to the viewer's page, which leads on to the share page where no exam is open."""
    is_folder = app.current_event.path.endswith("/")
    return empty(303, headers={"Location": "viewer" if is_folder else "viewer/viewer"})


@app.get("/viewer/.+")
def get_viewer_file() -> Response[Any]:
    return page_response(app, app.current_event.path.removeprefix("/"))


lambda_handler = serve_open(app)
