"""What no other function answers: 405 for another method on a known path, else 404."""

from dicom_service.contract import methods_of
from dicom_service.edge import create_app, serve_open
from dicom_service.errors import MethodNotAllowed, NotFound

app = create_app()


@app.route(".*", method=["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
def reject_request() -> None:
    if methods := methods_of(app.current_event.path):
        raise MethodNotAllowed(methods)
    raise NotFound("There is no such route; see /openapi.json.", code="NO_SUCH_ROUTE")


lambda_handler = serve_open(app)
