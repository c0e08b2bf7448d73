"""GET /otps/{otpId} and GET /otps: status and uses of one-time passwords."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, serve
from dicom_service.otp import listing
from dicom_service.otp.dependencies import manager

app = create_app()


@app.get("/otps/<otp_id>")
def get_otp(otp_id: str) -> Response[Any]:
    return answer(manager().get(otp_id))


@app.get("/otps")
def list_otps() -> Response[Any]:
    return listing.list_otps(app, manager())


lambda_handler = serve(app)
