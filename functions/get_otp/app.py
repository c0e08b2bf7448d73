"""GET /otps/{otpId}: how a one-time password fared."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, serve
from dicom_service.otp.factory import manager

app = create_app()


@app.get("/otps/<otp_id>")
def get_otp(otp_id: str) -> Response[Any]:
    return answer(manager().get(otp_id))


lambda_handler = serve(app)
