"""POST /otps: a one-time password for one exam."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, base_url, create_app, serve
from dicom_service.otp.inputs import actor, issue_request
from dicom_service.otp.issuing import issuer

app = create_app()


@app.post("/otps")
def issue_otp() -> Response[Any]:
    issued = issuer().issue(issue_request(app), actor(app))
    return answer(issued, 201, headers={"Location": f"{base_url(app)}/otps/{issued['otpId']}"})


lambda_handler = serve(app)
