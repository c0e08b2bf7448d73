"""GET /otps/{otpId} and GET /otps: how one-time passwords fared."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, serve
from dicom_service.otp.factory import manager
from dicom_service.otp.inputs import subject

app = create_app()


@app.get("/otps/<otp_id>")
def get_otp(otp_id: str) -> Response[Any]:
    return answer(manager().get(otp_id))


@app.get("/otps")
def list_otps() -> Response[Any]:
    return answer(manager().find(**subject(app)))


lambda_handler = serve(app)
