"""Issue one-time passwords: POST /otps, its resume, and the reference's GET /token."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import answer, base_url, create_app, empty, serve
from dicom_service.otp.dependencies import guard, issuer, manager
from dicom_service.otp.inputs import actor, issue_request, token_request

app = create_app()


@app.post("/otps")
def issue_otp() -> Response[Any]:
    issued = issuer().issue(issue_request(app), actor(app), base_url(app))
    return answer(issued, 201, headers={"Location": f"{base_url(app)}/otps/{issued['otpId']}"})


@app.post("/otps/<otp_id>/resume")
def resume_otp(otp_id: str) -> Response[str]:
    guard().resume(pacs(), manager().otp(otp_id), actor(app))
    return empty()


@app.get("/token")
def issue_token() -> Response[Any]:
    return answer(issuer().token(token_request(app), actor(app), base_url(app)))


lambda_handler = serve(app)
