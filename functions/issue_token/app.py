"""GET /token: a one-time password for one exam, in the form of the reference."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, serve
from dicom_service.otp.inputs import actor, token_request
from dicom_service.otp.issuing import issuer

app = create_app()


@app.get("/token")
def issue_token() -> Response[Any]:
    return answer(issuer().token(token_request(app), actor(app)))


lambda_handler = serve(app)
